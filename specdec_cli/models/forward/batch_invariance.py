"""Matrix products of which a row is the same bits whatever rows stand beside it.

A library computes a row by another kernel, and adds up its terms in another order, where more rows come with
it. Which numbers of rows agree differs between libraries, number formats, shapes and processors, so it is
tried out here: once for each kind and shape of product, at each number of rows when that first comes. Where a
number does not agree, the rows go in several calls, in the worst case one by one. The field calls a product
batch-invariant; see He et al. (2025), https://thinkingmachines.ai/blog/defeating-nondeterminism-in-llm-inference/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from specdec_cli.models.quantization.matrices import Product

MOST = 80  # rows of a call at most, for a tree of 64 nodes and what is read with it: as many are tried out
SMALL, LARGE = (1, 2, 4, 8), (MOST, 64, 32, 16)  # tried as rows of the smallest call, and of large ones
EDGE = 6  # rows at either end that are looked at, and every so many between
SEED = 20
Trial = Callable[[], tuple[Product, Tensor]]  # a product of the kind, and rows (MOST, K) to try it on


class CallSizes:
    """How many rows a kind of product takes at once so that each is what it is beside any others.

    Attributes:
        whole: the numbers of rows that are known to go in one call.
    """

    def __init__(self) -> None:
        self.whole: set[int] = set()
        self._ways: dict[int, tuple[int, ...]] = {}
        self._least = 0  # rows of a call at least; not known yet

    def way(self, count: int, trial: Trial) -> tuple[int, ...]:
        """Rows of each call for `count` rows; one more than there are is a row of padding.

        Args:
            count: rows.
            trial: is asked where that is not known yet.
        """
        if count not in self._ways:
            product, rows = trial()
            self._least = self._least or _least(product, rows)
            self._ways[count] = self._find(count, product, rows)
            if self._ways[count] == (count,):
                self.whole.add(count)
        return self._ways[count]

    def _find(self, count: int, product: Product, rows: Tensor) -> tuple[int, ...]:
        if count > MOST:
            more, rest = divmod(count, MOST)
            last = self._find(rest, product, rows) if rest else ()
            return self._find(MOST, product, rows) * more + last
        if count <= self._least:
            return (self._least,)
        for size in range(count, min(count + self._least, MOST + 1)):
            if _agree(product, rows[:size], self._least):
                return (size,)
        first = self._find(count - count // 2, product, rows)
        return first + self._find(count // 2, product, rows)


class InvariantProduct:
    """A product that calls another one with numbers of rows that agree.

    Args:
        product: the other one.
        sizes: of its kind and shape.
        trial: what they are found by.
    """

    def __init__(self, product: Product, sizes: CallSizes, trial: Trial) -> None:
        self._product, self._sizes, self._trial = product, sizes, trial

    def __call__(self, x: Tensor) -> Tensor:
        """x (n, K) to (n, N)."""
        if x.shape[0] in self._sizes.whole:
            return self._product(x)
        found, begin = [], 0
        for size in self._sizes.way(x.shape[0], self._trial):
            rows = x[begin : begin + size]
            lacking = size - rows.shape[0]
            if lacking:
                rows = torch.cat((rows, rows[-1:].expand(lacking, -1)))
            found.append(self._product(rows)[: size - lacking])
            begin += size
        return found[0] if len(found) == 1 else torch.cat(found)


_SIZES: dict[Hashable, CallSizes] = {}


def invariant(product: Product, kind: Hashable, trial: Trial) -> InvariantProduct:
    """A product that is batch-invariant.

    Args:
        product: any.
        kind: the same for products that compute alike: the library, the number format and the shape.
        trial: of that kind.
    """
    sizes = _SIZES.setdefault((kind, torch.get_num_threads()), CallSizes())
    return InvariantProduct(product, sizes, trial)


def some_rows(inputs: int, dtype: torch.dtype) -> Tensor:
    """Rows (MOST, K) to try a product on, the same every time."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(MOST, inputs, generator=generator).to(dtype)


def cancelling(outputs: int, inputs: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A weight (N, K) and rows (MOST, K) whose products are nothing but rounding.

    Each input comes twice, with the same weight and the other sign. What is left tells any two orders of the
    sum apart, also where the result is rounded so coarsely that a usual one would hide the difference.
    """
    chance = torch.Generator().manual_seed(SEED)
    half = inputs // 2
    one, other = torch.randperm(inputs, generator=chance)[: 2 * half].chunk(2)
    weight = torch.randn(min(outputs, MOST), inputs, generator=chance)
    rows = torch.randn(MOST, inputs, generator=chance)
    weight[:, other], rows[:, other] = weight[:, one], -rows[:, one]
    repeats = -(-outputs // len(weight))
    return weight.to(dtype).repeat(repeats, 1)[:outputs].contiguous(), rows.to(dtype)


def _least(product: Product, rows: Tensor) -> int:
    """Rows of the smallest call that the largest ones agree with; 1 where they agree with none."""
    sizes = ((least, most) for most in LARGE for least in SMALL)
    return next((least for least, most in sizes if _agree(product, rows[:most], least)), 1)


def _agree(product: Product, rows: Tensor, least: int) -> bool:
    """Whether rows (n, K) together are what they are in calls of `least`: at the ends, and here and there."""
    together, count = product(rows.clone()), len(rows)
    places = {*range(min(EDGE, count)), *range(max(count - EDGE, 0), count), *range(0, count, EDGE)}
    alone = torch.cat([product(rows[place].repeat(least, 1))[:1] for place in sorted(places)])
    return torch.equal(together[sorted(places)], alone)
