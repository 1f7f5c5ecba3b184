"""torch's own attention for the fused pass on a GPU, where a row's last digits depend on its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from specdec_cli.models.forward.attention import GROWTH, STRIDE
from specdec_cli.models.forward.base import Pass, causal
from specdec_cli.models.forward.kernels import Kernels, Shape


@dataclass(frozen=True, slots=True)
class SdpaInputs:
    """What `SdpaAttention` reads of a pass.

    Attributes:
        chosen: queries as `kernels.Rotate` takes them.
        seen: rows of the cache that are read.
        mask: additive, (1, 1, group * n, seen); None if all are visible.
    """

    chosen: Tensor
    seen: int
    mask: Tensor | None


class SdpaAttention:
    """Keeps keys and values, and mixes values by torch's own operation; see `attention.Attention`.

    Args:
        shape: of the attention.
        layers: how many.
        kernels: between the products.
        window: as for `InvariantAttention`.
        like: of the number format and on the device of keys and values.
    """

    def __init__(self, shape: Shape, layers: int, kernels: Kernels, window: int | None, like: Tensor) -> None:
        self._shape, self._kernels, self._window = shape, kernels, window
        self.group = shape.heads // shape.key_heads
        self.cache = like.new_empty((layers, 2, shape.key_heads, 0, shape.head_size))

    @property
    def capacity(self) -> int:
        return self.cache.shape[3]

    @property
    def dtype(self) -> torch.dtype:
        return self.cache.dtype

    @property
    def by_row(self) -> bool:
        return False

    @property
    def invariant(self) -> bool:
        return False

    @property
    def rotation_scale(self) -> float:
        return 1.0

    def reserve(self, rows: int) -> None:
        if rows <= self.capacity:
            return
        shape = list(self.cache.shape)
        shape[3] = max(rows, int(self.capacity * GROWTH), STRIDE)
        larger = self.cache.new_empty(shape)
        larger[:, :, :, : self.capacity] = self.cache
        self.cache = larger

    def move(self, rows: Tensor, to: int) -> None:
        moved = self.cache.index_select(3, rows.to(self.cache.device))
        self.cache[:, :, :, to : to + rows.numel()] = moved

    def prepare(self, step: Pass) -> SdpaInputs:
        count = step.tokens.numel()
        end = step.start + count
        return SdpaInputs(self.chosen(count), end, self._mask(step))

    def chosen(self, count: int) -> Tensor:
        """The queries of `count` rows as `kernels.Rotate` takes them: those of a key head side by side."""
        shape = self._shape
        heads = torch.arange(shape.heads, device=self.cache.device)[:, None]
        rows = torch.arange(count, device=self.cache.device)
        return (rows * (shape.heads + 2 * shape.key_heads) + heads).flatten()

    def mix(
        self, layer: int, rotated: tuple[Tensor, ...], norms: tuple[Tensor, Tensor], prepared: SdpaInputs
    ) -> Tensor:
        shape, (keys, values) = self._shape, self.cache[layer]
        queries = self._kernels.rotate(*rotated, self.cache[layer].flatten(0, 1), *norms, prepared.chosen)
        # Query heads that share a key head become rows of one attention, so keys are never repeated.
        queries = queries.view(1, shape.key_heads, -1, shape.head_size)
        seen_keys, seen_values = keys[None, :, : prepared.seen], values[None, :, : prepared.seen]
        mixed = scaled_dot_product_attention(queries, seen_keys, seen_values, prepared.mask)
        mixed = mixed.view(shape.key_heads, self.group, -1, shape.head_size).permute(2, 0, 1, 3)
        return mixed.reshape(mixed.shape[0], -1)

    def _mask(self, step: Pass) -> Tensor | None:
        """The mask for grouped queries, made once for all layers."""
        rows, window = step.start + step.tokens.numel(), self._window
        visible = step.visible
        if visible is None:
            if step.tokens.numel() == 1 and (window is None or rows <= window):
                return None
            visible = causal(step.start, rows, step.tokens.device)
        if window is not None:
            visible = visible & (step.positions[:, None] - step.row_positions() < window)
        mask = torch.zeros(visible.shape, dtype=self.cache.dtype, device=self.cache.device)
        return mask.masked_fill_(~visible, float("-inf")).repeat(self.group, 1)[None, None]
