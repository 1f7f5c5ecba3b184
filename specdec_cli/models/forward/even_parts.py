"""Elementwise work of which a row's results do not depend on how the work is split.

torch computes most numbers in vectors, and what is left at the end of a stretch one by one, for an activation
by another formula. Beyond a size, which differs between activations, it splits the work among threads, and
the stretches end where they may.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

WHOLE = 16384  # numbers up to which no activation is split; GELU's limit, the others' is twice that
GRAIN = 32768  # numbers to a thread at least, where torch splits arithmetic
VECTORS = 64  # numbers that every stretch of vectors is a multiple of, in any format on any processor


def in_even_parts(
    work: Callable[[Tensor], Tensor], inner: int, *, by_row: bool = False
) -> Callable[[Tensor], Tensor]:
    """The work on as many rows at once as are split between rows or between vectors.

    Args:
        work: rows (n, k) to (n, inner), from memory where more numbers stand between those of two rows.
        inner: numbers of a row.
        by_row: whether each row is worked on by itself.
    """

    def done(x: Tensor) -> Tensor:
        sizes = [1] * x.shape[0] if by_row else _parts(x.shape[0], inner, torch.get_num_threads())
        return work(x) if len(sizes) == 1 else torch.cat([work(part) for part in torch.split(x, sizes)])

    return done


def even_length(numbers: int) -> int:
    """The least length, no less than this, of which torch splits arithmetic between vectors."""
    threads = torch.get_num_threads()
    while True:
        multiple = VECTORS * min(threads, -(-numbers // GRAIN))
        if numbers % multiple == 0:
            return numbers
        numbers = -(-numbers // multiple) * multiple


@cache
def _parts(count: int, inner: int, threads: int) -> list[int]:
    """Sizes of the parts that `count` rows are worked on in: as few as may be, one row at least."""
    if not _even(1, inner, threads):
        return [1] * count
    sizes = []
    while count:
        sizes.append(next(size for size in range(count, 0, -1) if _even(size, inner, threads)))
        count -= sizes[-1]
    return sizes


def _even(count: int, inner: int, threads: int) -> bool:
    """Whether nothing comes of a split of so many rows among any number of threads."""
    numbers = count * inner
    stretches = [-(-numbers // used) for used in range(2, threads + 1)] if numbers > WHOLE else []
    return all(
        stretch % inner == 0 or (inner % VECTORS == 0 and stretch % VECTORS == 0) for stretch in stretches
    )
