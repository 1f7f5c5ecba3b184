"""Elementwise work of which a row's results do not depend on how the work is split.

torch computes most numbers in vectors, and what is left at the end of a stretch one by one, for an activation
by another formula. Beyond a size it splits the work among threads, and the stretches end where they may.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

GRAIN = 32768  # numbers beyond which torch splits elementwise work
VECTORS = 64  # numbers that every stretch of vectors is a multiple of, in any format on any processor


def in_even_parts(work: Callable[[Tensor], Tensor], inner: int) -> Callable[[Tensor], Tensor]:
    """The work on as many rows at once as are split between rows or between vectors.

    Args:
        work: rows (n, k) to (n, inner), from memory where more numbers stand between those of two rows.
        inner: numbers of a row.
    """

    def done(x: Tensor) -> Tensor:
        sizes = _parts(x.shape[0], inner, torch.get_num_threads())
        return work(x) if len(sizes) == 1 else torch.cat([work(part) for part in torch.split(x, sizes)])

    return done


def even_length(numbers: int) -> int:
    """The least length, no less than this, that torch splits between vectors whatever the work."""
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
    """Whether torch splits so many rows where nothing comes of it."""
    numbers = count * inner
    used = min(threads, -(-numbers // GRAIN))
    stretch = -(-numbers // used)
    return used == 1 or stretch % inner == 0 or (inner % VECTORS == 0 and stretch % VECTORS == 0)
