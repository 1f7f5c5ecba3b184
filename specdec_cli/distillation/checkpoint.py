"""What a training keeps on disk, read without running anything and believed only where it fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from specdec_cli.distillation.recipe import Recipe, refusal
from specdec_cli.errors import InputError
from specdec_cli.storage.numbers import Count
from specdec_cli.storage.reading import conform, existing_file

HINT = "Delete it to train anew, or use another --output."
MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, for each weight


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps done.
        loss: running mean.
        history: what was measured on the way, oldest first.
    """

    step: Count = 0
    loss: float = math.nan
    history: list[dict[str, int | float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class State:
    """The content of a checkpoint.

    Attributes:
        recipe: of the training.
        weights: of the draft, in its order.
        optimizer: of each weight with a gradient, by its number.
        progress: how far it was.
    """

    recipe: dict[str, Any]
    weights: list[Any]
    optimizer: dict[int, dict[str, Any]]
    progress: Progress


def read_checkpoint(checkpoint: Path, recipe: Recipe) -> State:
    """What a training kept.

    Raises:
        InputError: it is damaged, or of another recipe.
    """
    existing_file(checkpoint, "The checkpoint", HINT)
    try:
        _require_unpacked_size(checkpoint)
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file shows in many ways
        raise InputError(f"{checkpoint} is damaged: it cannot be read.", HINT) from error
    place = f"{checkpoint} is damaged"
    if isinstance(stored, dict) and isinstance(stored.get("optimizer"), dict):
        stored = {**stored, "optimizer": stored["optimizer"].get("state")}
    state = conform(stored, State, place, HINT)
    found = refusal(
        f"{checkpoint} is of a training with other settings", state.recipe, recipe.as_dict(), HINT
    )
    if found is not None:
        raise InputError(*found)
    if state.progress.step > recipe.steps:
        raise InputError(f"{place}: it is at step {state.progress.step} of {recipe.steps}.", HINT)
    if state.progress.step and not math.isfinite(state.progress.loss):
        raise InputError(f"{place}: its loss is not finite.", HINT)
    return state


def require_state(state: State, weights: Sequence[Tensor], checkpoint: Path) -> None:
    """Check that a checkpoint's tensors are those of a draft with these weights.

    Raises:
        InputError: they are not, or hold numbers that are not finite.
    """
    place = f"{checkpoint} is damaged"
    if len(state.weights) != len(weights):
        problem = f"{place}: it has {len(state.weights)} weights, and the draft {len(weights)}."
        raise InputError(problem, HINT)
    for number, (stored, weight) in enumerate(zip(state.weights, weights, strict=True)):
        _require_tensor(stored, weight, f"{place}: weight {number}")
    if state.optimizer.keys() != (set(range(len(weights))) if state.progress.step else set()):
        raise InputError(f"{place}: its optimiser's state is not that of the draft's weights.", HINT)
    for number, moments in state.optimizer.items():
        _require_moments(moments, weights[number], f"{place}: the optimiser's state of weight {number}")


def _require_moments(moments: Mapping[str, Any], weight: Tensor, place: str) -> None:
    if moments.keys() != {"step", *MOMENTS}:
        raise InputError(f"{place} is not all there.", HINT)
    for name in MOMENTS:
        _require_tensor(moments[name], weight, f"{place}, {name},")
    if bool((moments["exp_avg_sq"] < 0).any()):
        raise InputError(f"{place} holds squares below 0.", HINT)
    step = moments["step"]
    count = step.item() if isinstance(step, Tensor) and step.numel() == 1 else step
    if not isinstance(count, int | float) or not 0 < count < math.inf:
        raise InputError(f"{place} counts no steps.", HINT)


def _require_tensor(stored: object, weight: Tensor, place: str) -> None:
    if not isinstance(stored, Tensor) or stored.layout != torch.strided or stored.dtype != weight.dtype:
        raise InputError(f"{place} is no tensor of {str(weight.dtype).removeprefix('torch.')}.", HINT)
    if stored.shape != weight.shape:
        problem = f"{place} has the shape {_shape(stored)}, and the draft's {_shape(weight)}."
        raise InputError(problem, HINT)
    if not bool(stored.isfinite().all()):
        raise InputError(f"{place} holds numbers that are not finite.", HINT)


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "()"


def _require_unpacked_size(checkpoint: Path) -> None:
    """Refuse a file that is more when it is unpacked: torch stores what it writes as it is."""
    try:
        size = sum(part.file_size for part in ZipFile(checkpoint).infolist())
    except BadZipFile:
        return  # torch says what is wrong with it
    if size > checkpoint.stat().st_size:
        raise ValueError("it grows when it is unpacked")
