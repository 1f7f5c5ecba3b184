"""The pass through transformers' own module: any causal language model whose attention takes a 4-D mask."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from specdec_cli.models.forward.base import Pass, causal
from specdec_cli.models.forward.hf_cache import KeyValueCache
from specdec_cli.models.forward.local_layers import row_counting_layers, seeing
from specdec_cli.models.forward.rotary import length_rotaries, rotary_scaling_of, rotated_for
from specdec_cli.models.reduced_vocab_head import head_vocab_size

FULL, SLIDING = "full_attention", "sliding_attention"


class HFForward:
    """Drives a transformers causal language model with a 4-D mask and a preallocated cache."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._cache = KeyValueCache(config.num_hidden_layers)
        self._window = sliding_window(config)
        self._mixed = SLIDING in (getattr(config, "layer_types", None) or ())
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.vocab_size = head_vocab_size(model.get_output_embeddings())
        self.readable = len(model.get_input_embeddings().weight)
        self.vocabulary = None  # the module itself puts logits where they belong
        self.device = torch.device(model.device)
        self.by_row = False
        self.bitwise = False  # the products of a module are its libraries', which round by the number of rows
        self.features = torch.empty(0, device=self.device)
        self._keeps_features = False
        self._rotaries = length_rotaries(model)
        self._row_counting = row_counting_layers(model)
        self.rotary_scaling = rotary_scaling_of(model)

    def keep_features(self) -> None:
        self._keeps_features = True

    @torch.inference_mode()
    def reserve(self, rows: int) -> None:
        self._cache.reserve(rows)

    @torch.inference_mode()
    def move(self, rows: Tensor, to: int) -> None:
        self._cache.move(rows, to)

    @torch.inference_mode()
    def run(self, step: Pass) -> Tensor:
        self._cache.start = step.start
        options: dict[str, Any] = {"logits_to_keep": step.keep} if self._keeps else {}
        if self._keeps_features:
            options["output_hidden_states"] = True
        with rotated_for(self._rotaries, step.lengths), self._local_windows(step):
            output = self._model(
                input_ids=step.tokens[None],
                position_ids=step.positions[None],
                attention_mask=self._mask(step),
                past_key_values=self._cache,
                use_cache=True,
                **options,
            )
        if self._keeps_features:
            self.features = output.hidden_states[-1][0]
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
            visible = causal(step.start, rows, self.device)
        full = self._additive(visible)
        if self._window is None:
            return full
        near = step.positions[:, None] - step.row_positions() < self._window
        windowed = full if inside else self._additive(visible & near)
        return {FULL: full, SLIDING: windowed} if self._mixed else windowed

    def _local_windows(self, step: Pass) -> AbstractContextManager[None]:
        """For a tree, windows by position in the layers that would count rows."""
        if step.visible is None or not self._row_counting:
            return nullcontext()
        window = int(self._model.config.get_text_config().window_size)
        near = step.positions[:, None] - step.row_positions() < window
        masks = self._additive(step.visible), self._additive(step.visible & near)
        return seeing(self._row_counting, *masks)

    def _additive(self, visible: Tensor) -> Tensor:
        """(n, rows) to (1, 1, n, rows): 0 where visible. Boolean masks are wrong under eager attention."""
        dtype = self._model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=self.device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[None, None]


def sliding_window(config: Any) -> int | None:
    """How many positions a row sees, its own included, in layers with a sliding window; None without any."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types and SLIDING not in layer_types:
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None
