"""Work that a file decides the length of, within limits of time and memory."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from specdec_cli.errors import InputError

STATM = Path("/proc/self/statm")  # Linux: its first number is the size of the address space in pages


class _OutOfTimeError(Exception):
    """The alarm went off."""


@contextmanager
def bounded(what: str, hint: str, *, seconds: float, memory: int) -> Iterator[None]:
    """A block of Python that may take so long and grow by so much.

    The time is kept by an alarm, so it holds in the main thread of Unix systems and for work that returns to
    Python now and then; the memory by a limit of the address space, so it holds on Linux. Elsewhere the block
    runs without them. Neither limit outlives the block, and an alarm that was set before goes on.

    Args:
        what: is done, as the beginning of a message.
        hint: what to do about it.
        seconds: that it may take.
        memory: bytes that it may take in addition to what is taken.

    Raises:
        InputError: it took longer, or wanted more.
    """
    try:
        with _time_limit(seconds), _memory_limit(memory):
            yield
    except _OutOfTimeError:
        raise InputError(f"{what} takes longer than {seconds:g} seconds.", hint) from None
    except MemoryError:
        raise InputError(f"{what} wants more than {memory >> 20:,} MiB of memory.", hint) from None


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, again)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory_limit(memory: int) -> Iterator[None]:
    try:
        taken = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        yield
        return
    import resource  # not everywhere

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + memory if soft == resource.RLIM_INFINITY else min(soft, taken + memory)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
