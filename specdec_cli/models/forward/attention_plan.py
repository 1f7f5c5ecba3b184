"""What each row of a pass sees, laid out so that its sum over keys is the same in every pass.

A key of position i is summed in block i // `AttentionRule.block`, after those of lower positions, and blocks
are added up in order. In a text keys lie so. A tree's nodes follow the text in the cache, ancestors before
descendants with others between them; these have weight 0, which changes nothing in a sum in order. Where
nodes lie beyond the block that the text ends in, each block is summed over all nodes with the values of the
other blocks' nodes set to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.models.forward.attention_rule import LEAST, ROWS, AttentionRule, batch_of
from specdec_cli.models.forward.base import Pass, causal
from specdec_cli.models.forward.kernels import Shape


@dataclass(frozen=True, slots=True)
class Block:
    """Keys whose weighted values are summed in one product.

    Attributes:
        begin, end: the rows of the cache that they lie between.
        keeps: (end - begin, 1) 1 for the keys of this block, 0 for others; None where all are of it.
        rows: (k,) the rows of the cache, if they are to be gathered instead; `keeps` is then of them.
    """

    begin: int = 0
    end: int = 0
    keeps: Tensor | None = None
    rows: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are computed together.

    Attributes:
        begin, end: of `Plan.chosen`, the queries.
        given: (n * heads,) where each row's heads are among them.
        seen: rows of the cache that are read.
        mask: (queries of a product, k) additive, of the last k keys read; None if all are visible.
        blocks: of keys, in order.
        path: (seen,) the rows of the cache to be gathered before anything else; None for the first `seen`.
    """

    begin: int
    end: int
    given: Tensor
    seen: int
    mask: Tensor | None
    blocks: tuple[Block, ...]
    path: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The attention of a pass, the same for all layers: the queries as `Rotate` takes them, and its parts."""

    chosen: Tensor
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Order:
    """How the queries of some rows lie: those of a product together, the last one repeated as padding.

    Attributes:
        rows: (m,) of the queries of a product.
        chosen: (batch * m,) all queries, as `Rotate` takes them, counted from the first of the rows.
        given: (n * heads,) where each row's heads are among them.
    """

    rows: Tensor
    chosen: Tensor
    given: Tensor


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows from `begin` to `end` of the pass, what of the last keys each sees (n, k), and as in `Part`."""

    begin: int
    end: int
    seen: int
    visible: Tensor | None
    blocks: tuple[Block, ...]
    path: Tensor | None = None


class Planner:
    """Plans passes.

    Args:
        shape: of the attention.
        rule: that makes it batch-invariant; None where every row has to be computed by itself.
        window: how many positions a row sees, its own included; None for all.
        dtype: of masks.
        whole_masks: whether masks are needed, and of all keys.
    """

    def __init__(
        self,
        shape: Shape,
        rule: AttentionRule | None,
        window: int | None,
        dtype: torch.dtype,
        whole_masks: bool,
    ) -> None:
        self._heads, self._group = shape.heads, shape.heads // batch_of(shape.heads, shape.key_heads)
        self._width = shape.heads + 2 * shape.key_heads
        self._orders: dict[int, _Order] = {}
        self._rule, self._window, self._dtype, self._whole_masks = rule, window, dtype, whole_masks

    def plan(self, step: Pass) -> Plan:
        """The plan of a pass."""
        parts: list[Part] = []
        chosen: list[Tensor] = []
        for piece in self._pieces(step):
            order = self._order(piece.end - piece.begin)
            begin = parts[-1].end if parts else 0
            end = begin + len(order.chosen)
            chosen.append(order.chosen + piece.begin * self._width if piece.begin else order.chosen)
            mask = self._mask(piece, order.rows)
            parts.append(Part(begin, end, order.given, piece.seen, mask, piece.blocks, piece.path))
        return Plan(chosen[0] if len(chosen) == 1 else torch.cat(chosen), tuple(parts))

    def _pieces(self, step: Pass) -> Iterator[_Piece]:
        if self._rule is None:
            return self._alone(step)
        if step.visible is None:
            return self._text(step, self._rule)
        return self._tree(step, step.visible, self._rule)

    def _text(self, step: Pass, rule: AttentionRule) -> Iterator[_Piece]:
        """Rows that each see all up to themselves: a tree without branches is one."""
        for begin in range(0, step.tokens.numel(), ROWS):
            end = min(begin + ROWS, step.tokens.numel())
            rows = step.start + end
            seen = rule.seen(rows)
            visible = None
            if self._window is not None and rows > self._window:
                visible = _within(causal(step.start + begin, rows, step.tokens.device), self._window)
            elif end - begin > 1:
                visible = torch.ones((end - begin, end - begin), dtype=torch.bool).tril_()
            yield _Piece(
                begin, end, seen, _widened(visible, end - begin, seen - rows), _blocks(0, seen, rule)
            )

    def _tree(self, step: Pass, visible: Tensor, rule: AttentionRule) -> Iterator[_Piece]:
        count, end, positions = len(visible), visible.shape[1], step.row_positions()
        first_hidden = min(step.start, step.text)
        if self._window is not None and end > self._window:
            visible = visible & (step.positions[:, None] - positions < self._window)
            first_hidden = 0
        base = step.text // rule.block * rule.block
        seen = max(end, LEAST, base + rule.least)
        of_block = positions[base:] // rule.block
        before = _blocks(0, base, rule)
        if end - base <= rule.room:
            pieces = [(begin, min(begin + ROWS, count)) for begin in range(0, count, ROWS)]
            behind = [_shared(base, seen, of_block, rule.least)] * len(pieces)
        else:
            tail = visible[:, base:]
            pieces = list(_groups(tail, of_block, rule.room))
            behind = [_gathered(base, of_block, tail[begin:end].any(0), rule.least) for begin, end in pieces]
        for (begin, last), blocks in zip(pieces, behind, strict=True):
            hidden = _widened(visible[begin:last, first_hidden:], last - begin, seen - end)
            yield _Piece(begin, last, seen, hidden, (*before, *blocks))

    def _alone(self, step: Pass) -> Iterator[_Piece]:
        """Each row by itself, its keys gathered in order: the same shapes in every pass."""
        count, positions = step.tokens.numel(), step.row_positions()
        visible = step.visible
        if visible is None:
            visible = causal(step.start, step.start + count, step.tokens.device)
        if self._window is not None:
            visible = visible & (step.positions[:, None] - positions < self._window)
        for row in range(count):
            path = visible[row].nonzero()[:, 0]
            yield _Piece(row, row + 1, len(path), None, (Block(0, len(path)),), path)

    def _order(self, count: int) -> _Order:
        """The order of the queries of `count` rows."""
        if count not in self._orders:
            most = self._group * count
            padded = most if self._rule is None else self._rule.padded(most)
            query, heads = torch.arange(padded).clamp_(max=most - 1), torch.arange(self._heads)
            row, head = query % count, query // count
            first = torch.arange(self._heads // self._group)[:, None] * self._group
            place = heads // self._group * padded + heads % self._group * count
            given = place + torch.arange(count)[:, None]
            self._orders[count] = _Order(row, (row * self._width + first + head).flatten(), given.flatten())
        return self._orders[count]

    def _mask(self, piece: _Piece, rows: Tensor) -> Tensor | None:
        visible = piece.visible
        if self._whole_masks:
            shown = piece.seen - (0 if visible is None else visible.shape[1])
            ones = torch.ones((piece.end - piece.begin, shown), dtype=torch.bool)
            visible = ones if visible is None else torch.cat((ones, visible), 1)
        if visible is None:
            return None
        mask = torch.zeros(visible.shape, dtype=self._dtype).masked_fill_(~visible, float("-inf"))
        return mask.index_select(0, rows)


def _within(visible: Tensor, window: int) -> Tensor:
    """Of what the last rows of a text see (n, rows) what lies within the window."""
    rows = torch.arange(visible.shape[1])
    return visible & (rows[-len(visible) :, None] - rows < window)


def _widened(visible: Tensor | None, count: int, spare: int) -> Tensor | None:
    """With as many hidden keys behind the others."""
    if not spare:
        return visible
    shown = torch.ones((count, 1), dtype=torch.bool) if visible is None else visible
    return torch.cat((shown, torch.zeros((count, spare), dtype=torch.bool)), 1)


def _blocks(begin: int, end: int, rule: AttentionRule) -> tuple[Block, ...]:
    """Blocks of a text's rows."""
    return tuple(Block(first, min(first + rule.block, end)) for first in range(begin, end, rule.block))


def _shared(base: int, seen: int, of_block: Tensor, least: int) -> tuple[Block, ...]:
    """Blocks of the rows from `base` on, others between them; of_block (n,) says which is whose."""
    blocks = sorted(set(of_block.tolist()))
    if len(blocks) == 1:
        return (Block(base, seen),)
    found = []
    for block in blocks:
        own = of_block == block
        rows = own.nonzero()[:, 0]
        last = int(rows[-1]) + 1
        first = min(int(rows[0]), max(last - least, 0))
        keeps = None if len(rows) == last - first else own[first:last, None]
        found.append(Block(base + first, base + last, keeps))
    return tuple(found)


def _gathered(base: int, of_block: Tensor, needed: Tensor, least: int) -> tuple[Block, ...]:
    """Blocks of those rows from `base` on that are needed (n,), gathered."""
    found = []
    for block in sorted(set(of_block[needed].tolist())):
        rows = base + (needed & (of_block == block)).nonzero()[:, 0]
        lacking = max(least - len(rows), 0)
        keeps = torch.arange(len(rows) + lacking)[:, None] < len(rows)
        rows = torch.cat((rows, rows[:1].expand(lacking)))
        found.append(Block(keeps=keeps if lacking else None, rows=rows))
    return tuple(found)


def _groups(visible: Tensor, of_block: Tensor, room: int) -> Iterator[tuple[int, int]]:
    """Rows, from one to another, that see together no more than `room` keys of a block.

    Args:
        visible: (n, k) what each row sees of the last keys.
        of_block: (k,) the blocks of those keys.
        room: no less than there are keys in a block, so that one row fits.
    """
    begin, seen = 0, visible[0]
    for row in range(1, len(visible)):
        more = seen | visible[row]
        if row - begin == ROWS or max(of_block[more].bincount().tolist(), default=0) > room:
            yield begin, row
            begin, more = row, visible[row]
        seen = more
    yield begin, len(visible)
