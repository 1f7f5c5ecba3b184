"""The Llama family's pass without the module tree: few operations, packed products, one cache tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from specdec_cli.models.forward.base import Pass, causal
from specdec_cli.models.forward.fused_weights import FusedWeights, LayerWeights, fused_weights
from specdec_cli.models.forward.kernels import Kernels, eager_kernels, normed
from specdec_cli.models.forward.rotary import RotaryScaling
from specdec_cli.models.reduced_vocab_head import head_vocab_size

GROWTH = 1.5
FEW = 64  # rows up to which the compiled attention is the faster one or as fast
MOST_SCORES = 1 << 20  # numbers that it may hold at once; torch's own holds few whatever the length
LEAST = 16  # rows that the cache has at least: compiled kernels want two, and more spare it growing at once


@dataclass(frozen=True, slots=True)
class AttentionInputs:
    """What the attention of all layers reads beside the rows themselves.

    Attributes:
        rotation: cosines and sines of their positions, each (n, 1, head size).
        rows: (n,) their rows in the cache.
        mask: additive, (1, 1, group * n, rows); None if all is visible and the attention is torch's.
        attend: the compiled attention, where it is used.
    """

    rotation: tuple[Tensor, Tensor]
    rows: Tensor
    mask: Tensor | None
    attend: Callable[..., Tensor] | None = None


@dataclass(frozen=True, slots=True)
class LayerCache:
    """One layer's part of the cache during a pass: keys and values, each (key heads, ..., head size).

    Attributes:
        keys, values: all rows, to write to.
        seen_keys, seen_values: the rows that are read, with a leading dimension of 1.
    """

    keys: Tensor
    values: Tensor
    seen_keys: Tensor
    seen_values: Tensor


class FusedForward:
    """Computes passes of a Llama-like model; see `base.Forward`.

    Args:
        model: one that `fused_weights.fits`.
        kernels: compiled kernels for its shape, if there are any.
        weights: its weights, where they are not all in the model.
    """

    def __init__(
        self, model: Any, kernels: Kernels | None = None, weights: FusedWeights | None = None
    ) -> None:
        self._weights = weights = weights or fused_weights(model)
        self._kernels = kernels or eager_kernels(weights.shape)
        self._rotary = model.model.rotary_emb
        self._embedding_scale = weights.embedding.new_tensor(weights.embedding_scale)
        self._group = weights.shape.heads // weights.shape.key_heads
        self._cache = weights.embedding.new_empty(
            (len(weights.layers), 2, weights.shape.key_heads, 0, weights.shape.head_size)
        )
        self.vocab_size = head_vocab_size(model.lm_head)
        self.readable = len(weights.embedding)
        self.vocabulary = weights.vocabulary
        self.device = weights.embedding.device
        self.features = weights.embedding[:0]
        self.rotary_scaling: RotaryScaling | None = None

    def keep_features(self) -> None:
        """Nothing to do: they are a step of every pass."""

    @torch.inference_mode()
    def reserve(self, rows: int) -> None:
        capacity = self._cache.shape[3]
        if rows <= capacity:
            return
        shape = list(self._cache.shape)
        shape[3] = max(rows, int(capacity * GROWTH), LEAST)
        larger = self._cache.new_empty(shape)
        larger[:, :, :, :capacity] = self._cache
        self._cache = larger
        self._cosines, self._sines = self._rotations(shape[3])

    def _rotations(self, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the first positions, each (count, 1, head size); no row stands further on."""
        positions = torch.arange(count, device=self.device)
        cosines, sines = self._rotary(self._weights.embedding[:1, None], positions[None])
        return cosines[0, :, None], sines[0, :, None]

    @torch.inference_mode()
    def move(self, rows: Tensor, to: int) -> None:
        self._cache[:, :, :, to : to + rows.numel()] = self._cache.index_select(3, rows.to(self.device))

    @torch.inference_mode()
    def run(self, step: Pass) -> Tensor:
        end = step.start + step.tokens.numel()
        self.features = self._read(self._inputs(step), self._attention_inputs(step), end)
        return self._weights.head(self.features[-step.keep :])

    def _read(self, x: Tensor, inputs: AttentionInputs, end: int) -> Tensor:
        """Take rows (n, hidden) through all layers, which look at the cache up to row `end`: (n, hidden)."""
        weights, kernels = self._weights, self._kernels
        ready = normed(x, weights.norms[0], weights.shape.eps)
        for layer, cache, norm in zip(weights.layers, self._by_layer(end), weights.norms[1:], strict=True):
            x, ready = kernels.add_norm(x, self._attend(layer, ready, inputs, cache), layer.before_mlp)
            x, ready = kernels.add_norm(x, layer.down(kernels.gate(layer.gate_up(ready))), norm)
        return ready

    def _inputs(self, step: Pass) -> Tensor:
        """What the first layer reads: (n, hidden)."""
        return self._embedded(step.tokens)

    def _embedded(self, tokens: Tensor) -> Tensor:
        x = self._weights.embedding[tokens]
        return x if self._weights.embedding_scale == 1 else x * self._embedding_scale

    def _attend(
        self, layer: LayerWeights, ready: Tensor, inputs: AttentionInputs, cache: LayerCache
    ) -> Tensor:
        """What attention adds to the rows (n, hidden); their keys and values enter the cache."""
        norms = layer.query_norm, layer.key_norm
        arguments = layer.qkv(ready), *inputs.rotation, inputs.rows, cache.keys, cache.values, *norms
        if inputs.attend is not None:
            return layer.out(inputs.attend(arguments, inputs.mask))
        # Query heads that share a key head become rows of one attention, so keys are never repeated.
        queries = self._kernels.rotate(*arguments)
        mixed = scaled_dot_product_attention(queries, cache.seen_keys, cache.seen_values, inputs.mask)
        if ready.shape[0] > 1:  # a single row has its heads in order
            mixed = mixed.view(mixed.shape[1], self._group, -1, mixed.shape[3]).permute(2, 0, 1, 3)
        return layer.out(mixed.reshape(ready.shape[0], -1))

    def _by_layer(self, end: int) -> Iterator[LayerCache]:
        """Every layer's views up to row `end`, made by a few operations on the whole cache."""
        keys, values = self._cache.unbind(1)
        seen = self._cache[:, :, None, :, :end]
        seen_keys, seen_values = seen.unbind(1)
        parts = (part.unbind(0) for part in (keys, values, seen_keys, seen_values))
        return map(LayerCache, *parts)

    def _attention_inputs(self, step: Pass) -> AttentionInputs:
        end = step.start + step.tokens.numel()
        rotation = self._cosines[step.positions], self._sines[step.positions]
        count = step.tokens.numel()
        few = count <= FEW and self._weights.shape.heads * count * end <= MOST_SCORES
        attend = self._kernels.attend if few else None
        rows = torch.arange(step.start, end, device=self.device)
        return AttentionInputs(rotation, rows, self._mask(step, attend is not None), attend)

    def _mask(self, step: Pass, always: bool) -> Tensor | None:
        """The mask for grouped queries, made once for all layers."""
        rows, window = step.start + step.tokens.numel(), self._weights.window
        visible = step.visible
        if visible is None:
            if step.tokens.numel() == 1 and (window is None or rows <= window):
                return self._cache.new_zeros((1, 1, self._group, rows)) if always else None
            visible = causal(step.start, rows, self.device)
        if window is not None:
            visible = visible & (step.positions[:, None] - step.row_positions() < window)
        mask = torch.zeros(visible.shape, dtype=self._cache.dtype, device=self.device)
        return mask.masked_fill_(~visible, float("-inf")).repeat(self._group, 1)[None, None]
