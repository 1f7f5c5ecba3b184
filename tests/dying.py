"""Kills at a chosen file operation, as the file system sees them, and disks that fill up."""

import errno
import os
from contextlib import contextmanager, suppress

OPERATIONS = (
    "open",
    "pwrite",
    "write",
    "fsync",
    "ftruncate",
    "replace",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
)


class Killed(BaseException):
    """The process is gone here; no clean-up of its own reaches the disk any more."""


class Dying:
    """Counts file operations, and dies at one of them; a write at which it dies is torn.

    Args:
        monkeypatch: of the test.
        at: number of the operation; None for never.
    """

    def __init__(self, monkeypatch, at=None):
        self.count = 0
        self.ended = False
        self._at = at
        self._open: set[int] = set()
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        close = os.close

        def closing(descriptor):
            self._open.discard(descriptor)
            close(descriptor)

        monkeypatch.setattr(os, "close", closing)

    def end(self):
        """Close what is open, as the system does with a process that is gone."""
        for descriptor in list(self._open):
            with suppress(OSError):
                os.close(descriptor)

    def _counted(self, name, real):
        def operation(*arguments, **options):
            self.count += 1
            if self._at is not None and self.count > self._at:
                if name == "pwrite" and self.count == self._at + 1:
                    descriptor, content, place = arguments
                    real(descriptor, bytes(content)[: len(content) // 2], place)
                raise Killed
            result = real(*arguments, **options)
            if name == "open":
                self._open.add(result)
            return result

        return operation


@contextmanager
def killed_at(monkeypatch, at):
    """A block that is killed at a file operation; `ended` of what it yields says whether it was not."""
    with monkeypatch.context() as patched:
        dying = Dying(patched, at)
        try:
            yield dying
            dying.ended = True
        except Killed:
            pass
        finally:
            dying.end()


def full_after(monkeypatch, room, number=errno.ENOSPC):
    """A disk on which files can grow by so many bytes more, by `os.pwrite`."""
    left = [room]
    real = os.pwrite

    def pwrite(descriptor, content, place):
        inside = max(0, os.fstat(descriptor).st_size - place)
        allowed = bytes(content)[: inside + left[0]]
        if content and not allowed:
            raise OSError(number, os.strerror(number))
        left[0] -= max(0, len(allowed) - inside)
        return real(descriptor, allowed, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
