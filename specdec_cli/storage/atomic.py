"""Files that are replaced in one step: at every moment the old one is there, or the new one."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
NAME_LENGTH = 40  # of a file's name in the names of its companions, so that these are never too long
NEW_FILE = 0o666
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path`, which replaces it when the block ends, and is gone if the block fails.

    Its name cannot be guessed, and nothing that lies there is followed. A link at `path` stays: what it
    points to is replaced.

    Args:
        path: of the file; its folder must be there.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=companion(path), suffix=PART, dir=path.parent)
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        _finish(part, _mode(path))
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: str | bytes) -> None:
    """Put a file in place, whole or not at all.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def put_whole(part: Path, path: Path) -> None:
    """Move a file that was made elsewhere on the same disk into place, once all of it is written down.

    Raises:
        OSError: it cannot be moved.
    """
    _sync(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, path)
    sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove what writers of `path` that were killed have left; nobody else may be writing it."""
    pattern = glob.escape(companion(path)) + "*" + PART
    for abandoned in path.parent.glob(pattern):
        with suppress(OSError):
            os.unlink(abandoned)


def companion(path: Path) -> str:
    """How the names of hidden files that belong to a file begin: none belongs to two."""
    digest = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()
    return f".{path.name[:NAME_LENGTH]}-{digest[:8]}."


def sync_folder(folder: Path) -> None:
    """Have the system write down which files are in a folder; some file systems cannot be asked to."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Have the system write down a folder with all that is in it, before it is put in its place."""
    for inner, _, names in os.walk(folder):
        for name in names:
            _sync(Path(inner, name))
        sync_folder(Path(inner))


def _finish(part: Path, mode: int) -> None:
    """Give a file its rights, and have the system write it down; opened anew, as some writers replace it."""
    descriptor = os.open(part, os.O_RDONLY | NO_FOLLOW)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | NO_FOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(path: Path) -> int:
    """The rights of the file that is replaced, else those that a new one would have."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(path).st_mode)
    return NEW_FILE & ~umask()


def umask() -> int:
    """The rights that new files are denied."""
    denied = os.umask(0o077)
    os.umask(denied)
    return denied
