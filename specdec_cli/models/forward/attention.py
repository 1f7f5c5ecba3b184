"""The attention of the fused pass on a CPU, of which a row is the same bits in every pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from specdec_cli.models.forward.attention_plan import Block, Part, Planner
from specdec_cli.models.forward.attention_rule import attention_rule, batch_of, value_columns
from specdec_cli.models.forward.base import Pass
from specdec_cli.models.forward.even_parts import even_length
from specdec_cli.models.forward.kernels import Kernels, Scores, Shape

GROWTH = 1.5
STRIDE = 64  # rows that the cache grows by: compiled kernels want two


class Attention(Protocol):
    """Keeps keys and values of all layers, and mixes values for a pass."""

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What keys and values are kept in."""
        ...

    @property
    def by_row(self) -> bool:
        """Whether each row is computed by itself."""
        ...

    @property
    def invariant(self) -> bool:
        """Whether a row's result is the same bits in every pass."""
        ...

    @property
    def rotation_scale(self) -> float:
        """What cosines and sines of positions are multiplied by."""
        ...

    def reserve(self, rows: int) -> None:
        """Make room for this many rows, keeping those in use."""
        ...

    def move(self, rows: Tensor, to: int) -> None:
        """As `base.Forward.move`."""
        ...

    def prepare(self, step: Pass) -> Any:
        """What all layers read of a pass beside the rows themselves."""
        ...

    def mix(
        self, layer: int, rotated: tuple[Tensor, ...], norms: tuple[Tensor, Tensor], prepared: Any
    ) -> Tensor:
        """What the heads of each row saw, side by side: (n, heads * head size).

        Args:
            layer: its number.
            rotated: the first arguments of `kernels.Rotate`: queries, keys and values, cosines, sines, rows.
            norms: of queries and keys.
            prepared: by `prepare`.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    """A part of a pass, and the memory that it is computed in.

    Attributes:
        part: which one.
        keys: (batch, head size, seen) of each layer.
        scores: of the part.
        weights: (batch, m, k) of each block.
        values: (batch, k, columns) of each block and layer.
        in_place: whether all blocks are summed as they lie.
        others: weights and values of all blocks but the first.
        mixed: (batch, m, columns) the weighted sum of values.
        own, total: the values proper in that, and the sum of weights.
        divided, rows: what the values proper come to, as (batch, m, head size) and with one row a query.
    """

    part: Part
    keys: Sequence[Tensor]
    scores: Scores
    weights: Sequence[Tensor]
    values: Sequence[Sequence[Tensor]]
    in_place: bool
    others: Sequence[tuple[Tensor, Sequence[Tensor]]]
    mixed: Tensor
    own: Tensor
    total: Tensor
    divided: Tensor
    rows: Tensor


class InvariantAttention:
    """Attention of which a row's result depends on what it sees alone; see `attention_plan` for the order.

    All of it is computed in float32 at least, and keys and values are kept so. Behind each value stands a 1,
    whose weighted sum is what the others are divided by. Scores are logarithms to base 2, and their scale is
    shared by queries and keys.

    Args:
        shape: of the attention.
        layers: how many.
        kernels: between the products.
        window: how many positions a row sees, its own included; None for all.
        dtype: of the result.
    """

    def __init__(
        self, shape: Shape, layers: int, kernels: Kernels, window: int | None, dtype: torch.dtype
    ) -> None:
        self._shape, self._kernels, self._result = shape, kernels, dtype
        wide = torch.promote_types(dtype, torch.float32)
        self._rule = rule = attention_rule(shape.heads, shape.key_heads, shape.head_size, wide)
        self._batch = batch_of(shape.heads, shape.key_heads)
        self._planner = Planner(shape, rule, window, wide, kernels.whole_masks)
        self._columns = value_columns(shape.head_size)
        self._cache = torch.empty((layers, 2, shape.key_heads, 0, self._columns), dtype=wide)
        self._written: Sequence[Tensor] = ()
        self._memory = [self._cache.new_empty(0) for _ in range(3)]

    @property
    def capacity(self) -> int:
        return self._cache.shape[3]

    @property
    def dtype(self) -> torch.dtype:
        return self._cache.dtype

    @property
    def by_row(self) -> bool:
        return self._rule is None

    @property
    def invariant(self) -> bool:
        return True

    @property
    def rotation_scale(self) -> float:
        return math.sqrt(math.log2(math.e) / math.sqrt(self._shape.head_size))

    def reserve(self, rows: int) -> None:
        """Hidden keys and values must be numbers, so that nothing comes of them."""
        if rows <= self.capacity:
            return
        more = -(-max(rows, int(self.capacity * GROWTH)) // STRIDE) * STRIDE - self.capacity
        self._cache = pad(self._cache, (0, 0, 0, more))
        self._cache[..., self._shape.head_size] = 1.0
        self._written = self._cache.flatten(1, 2)[..., : self._shape.head_size].unbind()

    def move(self, rows: Tensor, to: int) -> None:
        self._cache[:, :, :, to : to + rows.numel()] = self._cache.index_select(3, rows)

    def prepare(self, step: Pass) -> tuple[Tensor, Sequence[_Work]]:
        plan = self._planner.plan(step)
        rows = step.start + step.tokens.numel()
        seen = max(part.seen for part in plan.parts)
        if seen > rows:  # what a text that went wrong left there may be no numbers
            self._cache[:, :, :, rows:seen, : self._shape.head_size] = 0.0
        return plan.chosen, [self._work(part) for part in plan.parts]

    def mix(
        self,
        layer: int,
        rotated: tuple[Tensor, ...],
        norms: tuple[Tensor, Tensor],
        prepared: tuple[Tensor, Sequence[_Work]],
    ) -> Tensor:
        chosen, works = prepared
        queries = self._kernels.rotate(*rotated, self._written[layer], *norms, chosen)
        if len(works) == 1:
            return self._part(layer, queries, works[0])
        parts = [self._part(layer, queries[work.part.begin : work.part.end], work) for work in works]
        return torch.cat(parts)

    def _part(self, layer: int, queries: Tensor, work: _Work) -> Tensor:
        """What the heads of a part's rows saw, side by side: (n, heads * head size)."""
        shape = self._shape
        keys = work.keys[layer]
        if work.part.path is not None:
            keys = keys.index_select(2, work.part.path)
        torch.bmm(queries.view(self._batch, -1, shape.head_size), keys, out=work.scores.all)
        self._kernels.weigh(work.scores)
        if work.in_place:
            torch.bmm(work.weights[0], work.values[0][layer], out=work.mixed)
            for weights, values in work.others:
                work.mixed.baddbmm_(weights, values[layer])
        else:
            self._sum_chosen(layer, work)
        torch.div(work.own, work.total, out=work.divided)
        taken = work.rows.index_select(0, work.part.given)
        return taken.view(-1, shape.heads * shape.head_size).to(self._result)

    def _sum_chosen(self, layer: int, work: _Work) -> None:
        """Add up the blocks of a part of which some are gathered, or lie among the keys of others."""
        for number, block in enumerate(work.part.blocks):
            weights, values = work.weights[number], work.values[number][layer]
            if work.part.path is not None:  # what the work has of a layer are all its rows
                values = values.index_select(1, work.part.path)
            if block.rows is not None:
                weights, values = weights.index_select(2, block.rows), values.index_select(1, block.rows)
            if block.keeps is not None:
                values = values * block.keeps
            if number:
                work.mixed.baddbmm_(weights, values)
            else:
                torch.bmm(weights, values, out=work.mixed)

    def _work(self, part: Part) -> _Work:
        size, batch, seen = self._shape.head_size, self._batch, part.seen
        queries = (part.end - part.begin) // batch
        cache = self._cache.expand(-1, -1, batch, -1, -1)
        read = slice(seen if part.path is None else None)
        keys = cache[:, 0, :, read, :size].transpose(2, 3).unbind()
        values = [cache[:, 1, :, _span(block, part)].unbind() for block in part.blocks]
        even = self._room(0, even_length(batch * queries * seen))
        scores = even[: batch * queries * seen].view(batch, queries, seen)
        hidden = scores if part.mask is None else scores[..., seen - part.mask.shape[1] :]
        mixed = self._room(1, batch * queries * self._columns).view(batch, queries, -1)
        weights = [scores[..., _span(block)] for block in part.blocks]
        own, total = mixed[..., :size], mixed[..., size, None]
        rows = self._room(2, batch * queries * size).view(-1, size)
        masked, divided = Scores(scores, even, hidden, part.mask), rows.view(own.shape)
        in_place = part.path is None and all(each.rows is each.keeps is None for each in part.blocks)
        others = tuple(zip(weights, values, strict=True))[1:]
        return _Work(part, keys, masked, weights, values, in_place, others, mixed, own, total, divided, rows)

    def _room(self, use: int, size: int) -> Tensor:
        """Memory of its own for each use, the same in all layers and passes: (size,)."""
        if len(self._memory[use]) < size:
            self._memory[use] = self._cache.new_zeros(size * 5 // 4)
        return self._memory[use][:size]


def _span(block: Block, part: Part | None = None) -> slice:
    """The keys that a block lies between; all where they are to be gathered, for it or for its part."""
    gathered = block.rows is not None or (part is not None and part.path is not None)
    return slice(None) if gathered else slice(block.begin, block.end)
