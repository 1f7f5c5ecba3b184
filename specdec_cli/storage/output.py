"""A file that one run writes: checked and claimed before anything is loaded, let go at the end."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.storage.atomic import NEW_FILE, NO_FOLLOW, PART, companion, sweep, sync_folder, write_whole
from specdec_cli.storage.failures import ANOTHER, MORE_ROOM, explained, is_full, reason
from specdec_cli.storage.locks import BusyError, Lock

OPENING = os.O_RDWR | NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Output(AbstractContextManager["Output"]):
    """A file that this process alone writes while the block lasts; blocks may be nested.

    Where a link is given, what it points to is written. The lock is a hidden file beside it, gone afterwards.

    Args:
        path: as the user gave it.
        flag: that names it, for messages.
        make_folders: make the folder that it is in, if need be.
        room: what to do about a full disk, and what is kept.
        begin: called once the file is claimed, to look at it and put it in order; an error lets it go again.

    Raises:
        InputError: it is no path; or, at the beginning of the block: it cannot be written there, or another
            process writes it.
        ResourceError: the disk is full.
    """

    def __init__(
        self,
        path: Path,
        flag: str = "The file",
        *,
        make_folders: bool = False,
        room: str = MORE_ROOM,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.given = path
        try:
            self.path = Path(os.path.realpath(path))
        except ValueError as error:  # a zero byte
            raise InputError(f"{flag} {str(path)!r} is no name of a file.", "Give another.") from error
        self._flag, self._make_folders, self._room, self._begin = flag, make_folders, room, begin
        self._lock: Lock | None = None
        self._depth = 0

    def __enter__(self) -> Output:
        first = self._depth == 0
        if first:
            self._claim()
        self._depth += 1
        if first:
            try:
                self._begin()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._lock is not None:
            self._lock.release()
            self._lock = None

    def replace(self, content: str | bytes) -> None:
        """Put a new file there instead, whole or not at all.

        Raises:
            ResourceError: the disk is full; the old file is as it was.
            SpecdecError: it cannot be written; likewise.
        """
        with self:
            try:
                write_whole(self.path, content)
            except OSError as error:
                raise explained(error, self.given, self._room) from error

    def append(self, content: bytes, *, over: int = 0, sync: bool = True) -> None:
        """Write at the end of the file, all or nothing.

        Args:
            content: to be written.
            over: bytes at the end of the file that it is written over.
            sync: have the system write it down before this returns.

        Raises:
            ResourceError: the disk is full; the file is as it was.
            SpecdecError: it cannot be written; likewise.
        """
        with self:
            try:
                new = not self.path.exists()
                descriptor = os.open(self.path, OPENING | os.O_CREAT, NEW_FILE)
                try:
                    _append(descriptor, content, over, sync)
                finally:
                    os.close(descriptor)
                if new:
                    sync_folder(self.path.parent)
            except OSError as error:
                raise explained(error, self.given, self._room) from error

    def truncate(self, size: int) -> None:
        """Cut the file to a size.

        Raises:
            SpecdecError: it cannot be written.
        """
        with self:
            try:
                descriptor = os.open(self.path, OPENING)
                try:
                    os.ftruncate(descriptor, size)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise explained(error, self.given, self._room) from error

    def _claim(self) -> None:
        try:
            if self._make_folders:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._require_file()
            self._lock = Lock(self.path.with_name(f"{companion(self.path)}lock"))
        except BusyError as error:
            problem = f"{self._named} is being written by another run."
            raise InputError(problem, "Wait until it has ended, or give another name.") from error
        except OSError as error:
            raise self._unusable(error) from error
        sweep(self.path)

    def _require_file(self) -> None:
        """Check that what lies there, if anything, is a file that can be opened to write."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(found.st_mode):
            problem = f"{self._named} cannot be written: it is no regular file."
            raise InputError(problem, "Give the name of a file; results go to standard output without it.")
        os.close(os.open(self.path, OPENING))

    def _unusable(self, error: OSError) -> SpecdecError:
        if is_full(error):
            return ResourceError(f"{self._named} cannot be written: {reason(error)}.", self._room)
        folder = self.path.parent
        why = {
            errno.ENOENT: f"there is no folder {folder}",
            errno.ENOTDIR: f"{folder} is no folder",
            errno.EEXIST: f"{folder} is no folder",
            errno.EISDIR: "it is a folder",
        }.get(error.errno or 0, reason(error))
        hint = "Give a path in a folder that exists and may be written to."
        return InputError(f"{self._named} cannot be written: {why}.", hint)

    @property
    def _named(self) -> str:
        return f"{self._flag} {self.given}"


def claimed(path: Path | None, flag: str) -> AbstractContextManager[Output | None]:
    """A block that claims the file of a flag that may not be given.

    Raises:
        InputError: at its beginning: the file cannot be written, or another process writes it.
        ResourceError: the disk is full.
    """
    return nullcontext() if path is None else Output(path, flag)


@contextmanager
def claimed_folder(folder: Path, named: str) -> Iterator[None]:
    """A block in which this process alone writes a folder, which is made if need be.

    What a killed writer left half done there is removed; so is a folder that was made for the block, if it is
    still empty at its end.

    Args:
        folder: to claim.
        named: what it is, as the beginning of a sentence.

    Raises:
        InputError: at the beginning: it cannot be written, or another process writes it.
        ResourceError: the disk is full.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = _lock_of(folder, named)
    try:
        for abandoned in folder.glob(f".*{PART}"):
            shutil.rmtree(abandoned) if abandoned.is_dir() else abandoned.unlink()
        yield
    finally:
        lock.release()
        for each in new:
            with suppress(OSError):
                each.rmdir()


def _lock_of(folder: Path, named: str) -> Lock:
    """The lock of a folder, which is made if need be; raises what `claimed_folder` does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder / ".lock")
    except BusyError as error:
        raise InputError(f"{named} is being written by another run.", "Wait until it has ended.") from error
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no name of a folder"
        problem = f"{named} cannot be written: {why}."
        if is_full(error):
            raise ResourceError(problem, MORE_ROOM) from error
        raise InputError(problem, ANOTHER) from error


def _append(descriptor: int, content: bytes, over: int, sync: bool) -> None:
    end = os.fstat(descriptor).st_size - over
    before = os.pread(descriptor, over, end)
    left, offset = memoryview(content), end
    try:
        while left:
            count = os.pwrite(descriptor, left, offset)
            left, offset = left[count:], offset + count
        if sync:
            os.fsync(descriptor)
    except BaseException as error:
        if left or isinstance(error, OSError):
            with suppress(OSError):
                os.ftruncate(descriptor, end + over)
            with suppress(OSError):
                os.pwrite(descriptor, before, end)
        raise
