"""One pass of a language model over some rows of text: the seam between bookkeeping and arithmetic.

`runner.py` decides which token stands in which row and what it may see; a `Forward` computes. The one here
drives transformers' own module.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from specdec_cli.models.cache import KeyValueCache

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass reads.

    Attributes:
        tokens: (n,) token ids.
        positions: (n,) their positions in the text; siblings share one.
        start: rows already in the cache; the new ones follow.
        visible: (n, start + n) whether a new row may look at a row; None is every row up to itself.
        row_positions: (start + n,) positions of all rows.
        keep: how many of the last rows need logits.
    """

    tokens: Tensor
    positions: Tensor
    start: int
    visible: Tensor | None
    row_positions: Tensor
    keep: int


class Forward(Protocol):
    """Computes passes and keeps the keys and values of all rows."""

    @property
    def width(self) -> int:
        """Size V of a row of logits."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tokens are expected and logits come out."""
        ...

    def reserve(self, rows: int) -> None:
        """Make room in the cache for this many rows, keeping those in use."""
        ...

    def move(self, rows: Tensor, to: int) -> None:
        """Copy cache rows (n,), ascending and none before `to`, to `to`, `to + 1`, ..."""
        ...

    def run(self, step: Pass) -> Tensor:
        """Read the rows into the cache: logits (keep, V)."""
        ...


class ModuleForward:
    """Drives a transformers causal language model with a 4-D mask and a preallocated cache."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._cache = KeyValueCache(config.num_hidden_layers)
        self._window = _window(config)
        self._mixed = SLIDING in (getattr(config, "layer_types", None) or ())
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.width = int(model.get_output_embeddings().weight.shape[0])
        self.device = torch.device(model.device)

    def reserve(self, rows: int) -> None:
        self._cache.reserve(rows)

    def move(self, rows: Tensor, to: int) -> None:
        self._cache.move(rows, to)

    @torch.inference_mode()
    def run(self, step: Pass) -> Tensor:
        self._cache.start = step.start
        options = {"logits_to_keep": step.keep} if self._keeps else {}
        output = self._model(
            input_ids=step.tokens[None],
            position_ids=step.positions[None],
            attention_mask=self._mask(step),
            past_key_values=self._cache,
            use_cache=True,
            **options,
        )
        logits: Tensor = output.logits[0, -step.keep :]
        return logits

    def _mask(self, step: Pass) -> Tensor | dict[str, Tensor] | None:
        """The additive mask in the form that the architecture takes; None where causal order says it all."""
        rows = step.start + step.tokens.numel()
        inside = self._window is None or rows <= self._window
        if step.visible is None and inside and (step.start == 0 or step.tokens.numel() == 1):
            return None
        visible = step.visible
        if visible is None:
            row = torch.arange(rows, device=self.device)
            visible = row <= row[step.start :, None]
        full = self._additive(visible)
        if self._window is None:
            return full
        near = step.positions[:, None] - step.row_positions < self._window
        windowed = full if inside else self._additive(visible & near)
        return {FULL: full, SLIDING: windowed} if self._mixed else windowed

    def _additive(self, visible: Tensor) -> Tensor:
        """(n, rows) to (1, 1, n, rows): 0 where visible. Boolean masks are wrong under eager attention."""
        dtype = self._model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=self.device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[None, None]


def _window(config: Any) -> int | None:
    """The width of sliding-window attention, where any layer uses it."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types and SLIDING not in layer_types:
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None
