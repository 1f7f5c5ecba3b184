"""By which shapes of products attention is batch-invariant on this machine: found by trying.

A library's product of small matrices adds up the terms of a number in order, one after another, if there are
rows enough and the sum is not too long. Then a key that a row does not see, of weight 0, is as good as absent
wherever it stands between the others: a path through a tree counts like the same keys in a text. Where that
does not hold for any shape tried here, each row is computed by itself, its keys gathered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from torch import Tensor

ROWS = 80  # of the text or tree in one part of a pass: a tree of 64 nodes and what is read with it
LEAST = 16  # keys that are read, and numbers of a value, at least: fewer are computed by other kernels
MULTIPLES, BLOCKS = (4, 8, 16), (128, 64, 32)  # what is tried, the fastest first
SPARE = 64  # keys that a block's may stand between
LONG = 2048  # keys of a long text
SEED = 21


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """How to call the products.

    Attributes:
        multiple: of query rows in a call; others are padded up to one.
        block: keys by position that are summed together; blocks are added up in order.
        least: keys in a sum; others are padded up to it.
    """

    multiple: int
    block: int
    least: int = LEAST

    @property
    def room(self) -> int:
        """Keys among which those of a block may stand."""
        return self.block + SPARE

    def seen(self, rows: int) -> int:
        """Keys that are read of a text of so many rows; those beyond are hidden."""
        return max(rows, LEAST, (rows - 1) // self.block * self.block + self.least)

    def padded(self, count: int) -> int:
        """Query rows of a call for `count` ones."""
        return -(-count // self.multiple) * self.multiple


def value_columns(head_size: int) -> int:
    """Numbers of a value in the cache: its own, a 1 that the weights are summed up by, and 0s."""
    return max(head_size + 1, LEAST)


def batch_of(heads: int, key_heads: int) -> int:
    """Products that are made at once: one for each key head, and two halves of a single one's queries.

    A product by itself is split among threads, and its sums with it.
    """
    return 2 if key_heads == 1 and heads % 2 == 0 else key_heads


def attention_rule(heads: int, key_heads: int, head_size: int, dtype: torch.dtype) -> AttentionRule | None:
    """The fastest rule that makes attention batch-invariant; None where none of those tried does.

    Args:
        heads: of queries.
        key_heads: of keys and values.
        head_size: numbers in each.
        dtype: that it is computed in.
    """
    return _found(heads, key_heads, head_size, dtype, torch.get_num_threads())


@cache
def _found(
    heads: int, key_heads: int, head_size: int, dtype: torch.dtype, threads: int
) -> AttentionRule | None:
    rules = [AttentionRule(*each) for each in product(MULTIPLES, BLOCKS, (1, LEAST))]
    chance = torch.Generator().manual_seed(SEED)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, generator=chance)

    batch = batch_of(heads, key_heads)
    with torch.inference_mode():
        most = max(rule.padded(heads // batch * ROWS) for rule in rules)
        queries = some(batch, most, head_size)
        keys, values = some(2, key_heads, LONG, value_columns(head_size))
        keys, values = keys[..., :head_size].expand(batch, -1, -1), values.expand(batch, -1, -1)
        weights = some(batch, most, max(BLOCKS)).abs()
        holds = (
            rule for rule in rules if scores_agree(rule, queries, keys) and sums_agree(rule, weights, values)
        )
        return next(holds, None)


def scores_agree(rule: AttentionRule, queries: Tensor, keys: Tensor) -> bool:
    """Whether a score is the same among any number of rows and of keys."""

    def scores(rows: int, seen: int) -> Tensor:
        return torch.bmm(queries[:, :rows], keys[:, :seen].transpose(1, 2))

    most, some = queries.shape[1] // rule.multiple * rule.multiple, rule.room + 5
    expected = scores(most, some)
    for rows in range(rule.multiple, most + 1, rule.multiple):
        if not torch.equal(scores(rows, some), expected[:, :rows]):
            return False
    for seen in (*range(LEAST, 40), *range(40, some, 9)):
        for rows in (rule.multiple, 3 * rule.multiple, most):
            if not torch.equal(scores(rows, seen), expected[:, :rows, :seen]):
                return False
    return torch.equal(scores(rule.multiple, LONG)[:, :, :some], expected[:, : rule.multiple])


def sums_agree(rule: AttentionRule, weights: Tensor, values: Tensor) -> bool:
    """Whether a weighted sum is the same among any number of rows, wherever keys of weight 0 stand."""
    most = weights.shape[1] // rule.multiple * rule.multiple
    weights, block = weights[:, :most, : rule.block], values[:, : rule.block]
    expected = torch.bmm(weights, block)
    doubled = expected.clone().baddbmm_(weights, block)
    for rows in range(rule.multiple, most + 1, rule.multiple):
        few = torch.bmm(weights[:, :rows], block)
        if not torch.equal(few, expected[:, :rows]):
            return False
        if not torch.equal(few.baddbmm_(weights[:, :rows], block), doubled[:, :rows]):
            return False
    lengths = (rule.block, rule.block - 1, rule.block // 2 + 3, *range(rule.least, LEAST + 1))
    return all(_spread_agrees(rule, weights[..., :length], values) for length in lengths)


def _spread_agrees(rule: AttentionRule, weights: Tensor, values: Tensor) -> bool:
    """Whether sums over so many keys are the same with others of weight 0 between and behind them."""
    length = weights.shape[2]
    base = values[:, : weights.shape[1]]
    expected = torch.bmm(weights, values[:, :length])
    onto = base.clone().baddbmm_(weights, values[:, :length])
    chance = torch.Generator().manual_seed(SEED)
    for width in (length, length + 1, length + 7, rule.room):
        slots = torch.randperm(width, generator=chance)[:length].sort().values
        apart = weights.new_zeros(*weights.shape[:2], width).index_copy_(2, slots, weights)
        around = values[:, -width:].index_copy(1, slots, values[:, :length])
        for rows in {rule.multiple, 2 * rule.multiple, 3 * rule.multiple, weights.shape[1]}:
            few = apart[:, :rows]
            added = base[:, :rows].clone().baddbmm_(few, around)
            if not torch.equal(torch.bmm(few, around), expected[:, :rows]):
                return False
            if not torch.equal(added, onto[:, :rows]):
                return False
    return True
