"""What a model's passes cost on this machine, learnt from those that were made."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from statistics import median

REMEMBERED = 5  # passes of a size; the median of few follows a machine that changes, and forgives one hiccup


class PassCosts:
    """Seconds of a pass by its number of rows, from the latest passes of that size and of its neighbours."""

    def __init__(self) -> None:
        self._seen: dict[int, deque[float]] = {}

    def observe(self, rows: int, seconds: float) -> None:
        """A pass over so many rows took so long."""
        self._seen.setdefault(rows, deque(maxlen=REMEMBERED)).append(seconds)

    def seconds(self, rows: int) -> float | None:
        """What a pass over so many rows should take; None before the first pass.

        Between two sizes that were seen, the line through them; below the smallest no less than that one,
        since weights are read for one row as for many; above the largest in proportion.
        """
        if not self._seen:
            return None
        sizes = sorted(self._seen)
        index = bisect_left(sizes, rows)
        if index == len(sizes):
            return self._at(sizes[-1]) * rows / sizes[-1]
        if index == 0 or sizes[index] == rows:
            return self._at(sizes[index])
        low, high = sizes[index - 1], sizes[index]
        share = (rows - low) / (high - low)
        return (1 - share) * self._at(low) + share * self._at(high)

    def _at(self, size: int) -> float:
        return median(self._seen[size])
