"""The Llama family's pass without the module tree: few operations, packed products, one cache tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from specdec_cli.models.forward.attention import Attention, InvariantAttention
from specdec_cli.models.forward.base import Pass
from specdec_cli.models.forward.fused_weights import FusedWeights, fused_weights
from specdec_cli.models.forward.kernels import Kernels, eager_kernels, normed
from specdec_cli.models.forward.rotary import RotaryScaling
from specdec_cli.models.forward.sdpa_attention import SdpaAttention
from specdec_cli.models.reduced_vocab_head import head_vocab_size

TURNED = 64  # positions whose rotation is computed in one call, the same for any length of the text


class FusedForward:
    """Computes passes of a Llama-like model; see `base.Forward`.

    On a CPU a row's logits are the same bits in every pass: its products by `batch_invariance`, its attention
    by `attention_plan`.

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
        self._attention = self._new_attention()
        nothing = weights.embedding.new_empty((0, 1, weights.shape.head_size), dtype=self._attention.dtype)
        self._cosines = self._sines = nothing
        self.vocab_size = head_vocab_size(model.lm_head)
        self.readable = len(weights.embedding)
        self.vocabulary = weights.vocabulary
        self.device = weights.embedding.device
        self.by_row = self._attention.by_row
        self.bitwise = self._attention.invariant
        self.features = weights.embedding[:0]
        self.rotary_scaling: RotaryScaling | None = None

    def _new_attention(self) -> Attention:
        weights, kernels = self._weights, self._kernels
        layers, like = len(weights.layers), weights.embedding
        if like.device.type == "cpu":
            return InvariantAttention(weights.shape, layers, kernels, weights.window, like.dtype)
        return SdpaAttention(weights.shape, layers, kernels, weights.window, like)

    def keep_features(self) -> None:
        """Nothing to do: they are a step of every pass."""

    @torch.inference_mode()
    def reserve(self, rows: int) -> None:
        self._attention.reserve(rows)
        if len(self._cosines) >= self._attention.capacity:
            return
        known = range(len(self._cosines), self._attention.capacity, TURNED)
        turns = [(self._cosines, self._sines), *map(self._rotations, known)]
        self._cosines, self._sines = (torch.cat(each) for each in zip(*turns, strict=True))

    def _rotations(self, first: int) -> tuple[Tensor, Tensor]:
        """What `kernels.Rotate` reads for the next positions, each (`TURNED`, 1, head size)."""
        positions = torch.arange(first, first + TURNED, device=self.device)
        cosines, sines = self._rotary(self._cosines, positions[None])
        scale, (low, high) = self._attention.rotation_scale, sines[0, :, None].chunk(2, -1)
        return cosines[0, :, None] * scale, torch.cat((-low, high), -1) * scale

    @torch.inference_mode()
    def move(self, rows: Tensor, to: int) -> None:
        self._attention.move(rows, to)

    @torch.inference_mode()
    def run(self, step: Pass) -> Tensor:
        rows = torch.arange(step.start, step.start + step.tokens.numel(), device=self.device)
        rotation = self._cosines[step.positions], self._sines[step.positions], rows
        self.features = self._read(self._inputs(step), rotation, self._attention.prepare(step))
        return self._weights.head(self.features[-step.keep :])

    def _read(self, x: Tensor, rotation: tuple[Tensor, Tensor, Tensor], prepared: Any) -> Tensor:
        """Take rows (n, hidden) through all layers: (n, hidden).

        Args:
            x: rows.
            rotation: cosines and sines of their positions, each (n, 1, head size), and their rows in the
                cache (n,).
            prepared: what their attention reads.
        """
        weights, kernels = self._weights, self._kernels
        ready = normed(x, weights.norms[0], weights.shape.eps)
        for number, (layer, norm) in enumerate(zip(weights.layers, weights.norms[1:], strict=True)):
            norms = layer.query_norm, layer.key_norm
            mixed = self._attention.mix(number, (layer.qkv(ready), *rotation), norms, prepared)
            x, ready = kernels.add_norm(x, layer.out(mixed), layer.before_mlp)
            x, ready = kernels.add_norm(x, layer.down(kernels.gate(layer.gate_up(ready))), norm)
        return ready

    def _inputs(self, step: Pass) -> Tensor:
        """What the first layer reads: (n, hidden)."""
        return self._embedded(step.tokens)

    def _embedded(self, tokens: Tensor) -> Tensor:
        x = self._weights.embedding[tokens]
        return x if self._weights.embedding_scale == 1 else x * self._embedding_scale
