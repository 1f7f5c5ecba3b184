"""Rotary positions that depend on how long the text is.

LongRoPE (Ding et al. 2024, https://arxiv.org/abs/2402.13753) has one set of frequencies for texts up to a
length and one beyond; dynamic NTK scaling has others for every length past a first one. transformers rotates
all rows of a call for the largest position in it, and keys stay as they were rotated when they were cached.
One call there is the whole prompt or a single token; here it is a chunk of the prompt or a tree, so each row
brings the length that it is to be rotated for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specdec_cli.models.hf.architectures import architecture_of

DYNAMIC, LONG = "dynamic", "longrope"


@dataclass(frozen=True, slots=True)
class Scaling:
    """How one kind of layer's frequencies depend on the length.

    Attributes:
        switch: tokens up to which they do not.
        grows: whether each length beyond has its own; else all lengths beyond have the same.
    """

    switch: int
    grows: bool

    def regime(self, length: int) -> int:
        """A length with the same frequencies, one for all that share them."""
        return max(length, self.switch) if self.grows else min(max(length, self.switch), self.switch + 1)


@dataclass(frozen=True, slots=True)
class RotaryScaling:
    """How a model's rotary positions depend on the length of the text.

    Attributes:
        scalings: of its layers.
        reread: tokens past which all that was read before is read again, for the new length; None where what
            is in the cache stays as it was rotated.
    """

    scalings: tuple[Scaling, ...]
    reread: int | None

    def same(self, one: int, other: int) -> bool:
        """Whether a row is rotated for a text of the one length as for one of the other."""
        return all(scaling.regime(one) == scaling.regime(other) for scaling in self.scalings)


def rotary_scaling_of(model: Any) -> RotaryScaling | None:
    """How the model's rotary positions depend on the text's length; None where they do not."""
    scalings = {each for module in length_rotaries(model) for each in _scalings(module).values()}
    if not scalings:
        return None
    config, switch = model.config.get_text_config(decoder=True), "original_max_position_embeddings"
    reread = getattr(config, switch, None) if architecture_of(config).rereads else None
    return RotaryScaling(tuple(sorted(scalings, key=lambda each: each.switch)), reread)


def length_rotaries(model: nn.Module) -> list[nn.Module]:
    """The modules that compute such positions, each once."""
    return [module for module in model.modules() if _scalings(module)]


def _scalings(module: nn.Module) -> dict[str | None, Scaling]:
    """By kind of layer (None where all are of one) those that depend on the length."""
    kinds, config = getattr(module, "rope_type", None), getattr(module, "config", None)
    if isinstance(kinds, str):
        kinds = {None: kinds}
    if not isinstance(kinds, dict) or config is None:
        return {}
    found = {}
    for layer_type, kind in kinds.items():
        if kind == LONG:
            parameters = config.rope_parameters if layer_type is None else config.rope_parameters[layer_type]
            found[layer_type] = Scaling(parameters["original_max_position_embeddings"], grows=False)
        elif isinstance(kind, str) and DYNAMIC in kind:
            found[layer_type] = Scaling(config.max_position_embeddings, grows=True)
    return found


@contextmanager
def rotated_for(rotaries: Sequence[nn.Module], lengths: Sequence[int]) -> Iterator[None]:
    """While this lasts, the modules rotate each row of a call for its own length, whatever was read before.

    Args:
        rotaries: of `length_rotaries`.
        lengths: (n,) for the rows of the next pass, none less than the row's position and one.
    """

    def replace(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        scaling = _scalings(module).get(given.get("layer_type"))
        return output if scaling is None else _rotated(module, given, scaling, lengths)

    with ExitStack() as hooks:
        for module in rotaries:
            hooks.callback(module.register_forward_hook(replace, with_kwargs=True).remove)
        yield


def _rotated(module: nn.Module, given: dict[str, Any], scaling: Scaling, lengths: Sequence[int]) -> Any:
    """What the module gives for its rows, those of a regime in a call of their own."""
    regimes = [scaling.regime(length) for length in lengths]
    order, parts = [], []
    for regime in sorted(set(regimes)):
        rows = [row for row, each in enumerate(regimes) if each == regime]
        order += rows
        _reset(module, given.get("layer_type"), scaling, regime)
        positions = given["position_ids"][..., rows]
        last = positions.new_full((*positions.shape[:-1], 1), regime - 1)  # a row that makes the text as long
        parts.append(module.forward(**{**given, "position_ids": torch.cat((positions, last), -1)}))
    _reset(module, given.get("layer_type"), scaling, scaling.switch)
    back = torch.tensor(order).argsort()

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor[..., :-1, :] for tensor in tensors], -2)[..., back.to(tensors[0].device), :]

    return tuple(map(joined, zip(*parts, strict=True))) if isinstance(parts[0], tuple) else joined(parts)


def _reset(module: Any, layer_type: str | None, scaling: Scaling, regime: int) -> None:
    """Let a dynamic module forget the longest text it met: frequencies must not depend on earlier texts."""
    if not scaling.grows:
        return
    prefix = "" if layer_type is None else f"{layer_type}_"
    original = getattr(module, f"{prefix}original_inv_freq").to(getattr(module, f"{prefix}inv_freq").device)
    module.register_buffer(f"{prefix}inv_freq", original, persistent=False)
    # Any length grows beyond 0, so frequencies past the switch are made anew.
    setattr(module, f"{prefix}max_seq_len_cached", 0 if regime > scaling.switch else scaling.switch)
