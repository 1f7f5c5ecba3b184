"""Locks between processes: held by the system, so that one is free as soon as its process is gone, however.

A lock is an empty file whose holder takes it away at the end. A killed holder leaves it behind, locked by
nobody; the next one takes it over and then takes it away.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without it: nothing is locked there
    fcntl = None  # type: ignore[assignment]

FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
UNSUPPORTED = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})  # some network disks


class BusyError(Exception):
    """Another process holds the lock."""


class Lock:
    """A lock that is held, until `release` or the end of the process.

    Args:
        path: of its file.
        wait: for who holds it, instead of giving up.

    Raises:
        BusyError: another process holds it.
        OSError: its file cannot be made.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self._path = path
        self._descriptor = _acquired(path, wait)

    def release(self) -> None:
        """Give it up and take its file away, in this order seen from outside."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            with suppress(OSError):
                if os.path.samestat(os.stat(self._path, follow_symlinks=False), os.fstat(descriptor)):
                    os.unlink(self._path)
        finally:
            os.close(descriptor)


def waited_for(path: Path, waiting: Callable[[], None]) -> Lock:
    """A lock, held as soon as nobody else holds it.

    Args:
        path: of its file.
        waiting: called if another process holds it now.

    Raises:
        OSError: its file cannot be made.
    """
    try:
        return Lock(path)
    except BusyError:
        waiting()
        return Lock(path, wait=True)


def _acquired(path: Path, wait: bool) -> int:
    while True:
        descriptor = os.open(path, FLAGS, 0o666)
        try:
            _flock(descriptor, wait)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise BusyError(str(path)) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder took it away since: it locks nothing any more


def _flock(descriptor: int, wait: bool) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
