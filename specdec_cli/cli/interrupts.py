"""Ctrl-C that no library can swallow: some take a KeyboardInterrupt for a failure while they are imported."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_seen = False
_held = False


@contextmanager
def remembered() -> Iterator[None]:
    """Inside the block a Ctrl-C raises KeyboardInterrupt, as ever, and `check` raises it once more."""
    global _seen
    _seen = False
    before = signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def held() -> Iterator[None]:
    """Inside the block a Ctrl-C waits until the next `check`, so that what is begun is written."""
    global _held
    _held = True
    try:
        yield
    finally:
        _held = False


def seen() -> bool:
    """Whether there was one."""
    return _seen


def check() -> None:
    """Raise KeyboardInterrupt if there was one and somebody swallowed it."""
    if _seen:
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _seen
    _seen = True
    if not _held:
        raise KeyboardInterrupt
