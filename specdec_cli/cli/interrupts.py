"""Ctrl-C, SIGTERM and SIGHUP alike: as exceptions that no library can swallow, so that what is begun is kept.

Some libraries take a KeyboardInterrupt for a failure of their own while they are imported.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from specdec_cli.errors import INTERRUPTED

HEEDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# `timeout` and terminals that close send a signal twice: the second must not break off what the first began.
GRACE_SECONDS = 2.0
OFFSET = 128  # of a signal's exit code

_first: tuple[int, float] | None = None
_held = False


@contextmanager
def remembered() -> Iterator[None]:
    """Inside the block a signal raises KeyboardInterrupt, and `check` raises it once more.

    A SIGTERM or SIGHUP that the parent has had ignored, as `nohup` does, stays ignored.
    """
    global _first
    _first = None
    before = {number: signal.getsignal(number) for number in HEEDED}
    heeded = [each for each in HEEDED if each == signal.SIGINT or before[each] != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _note)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextmanager
def held() -> Iterator[None]:
    """Inside the block a signal waits until the next `check`, so that what is begun is written."""
    global _held
    _held = True
    try:
        yield
    finally:
        _held = False


def seen() -> bool:
    """Whether there was one."""
    return _first is not None


def exit_code() -> int:
    """What the program ends with: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return INTERRUPTED if _first is None else OFFSET + _first[0]


def check() -> None:
    """Raise KeyboardInterrupt if there was one and somebody swallowed it."""
    if seen():
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    again = _first is not None and now - _first[1] < GRACE_SECONDS
    _first = _first or (number, now)
    if not (_held or again):
        raise KeyboardInterrupt
