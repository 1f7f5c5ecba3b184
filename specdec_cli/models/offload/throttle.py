"""A link of a given speed: transfers over it take at least their bytes over its bytes per second."""

from __future__ import annotations

import threading
import time


class Link:
    """Imitates a slower link, shared by all threads that use it.

    Args:
        gigabytes_per_second: its speed; None for no limit of its own.
    """

    def __init__(self, gigabytes_per_second: float | None) -> None:
        self._rate = None if gigabytes_per_second is None else gigabytes_per_second * 1e9
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def simulated(self) -> bool:
        """Whether it holds transfers back."""
        return self._rate is not None

    def reserve(self, size: int) -> float:
        """Join the queue of the link with a transfer that begins now: when it may end, for `until`."""
        if self._rate is None:
            return 0.0
        with self._lock:
            # What stood idle is lost: a link does not save up bandwidth.
            self._free_at = max(self._free_at, time.perf_counter()) + size / self._rate
            return self._free_at

    def until(self, end: float) -> None:
        """Return no earlier than then."""
        left = end - time.perf_counter()
        if left > 0:
            time.sleep(left)
