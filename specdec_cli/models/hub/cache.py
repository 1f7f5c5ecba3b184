"""Where fetched and converted models lie, and how a folder gets there whole or not at all.

Everything is built in a workspace inside the cache folder (so that the last step is a rename within one
file system) and put in place by that rename. A process that is killed leaves a workspace behind, which
counts as nothing and is swept a day later.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.progress import Report
from specdec_cli.storage.atomic import sync_folder, sync_tree
from specdec_cli.storage.failures import is_full, reason
from specdec_cli.storage.locks import waited_for

WORKSPACE_PREFIX = ".part-"
LOCK_PREFIX = ".lock-"
STALE_SECONDS = 24 * 3600
LARGER_CACHE = "Free some space, or set SPECDEC_CACHE to a folder on a larger disk."
HINT = "Set SPECDEC_CACHE to a folder that can be written to."


_being_made: set[Path] = set()  # by this process


def cache_root() -> Path:
    """The cache folder, whether or not it exists yet: $SPECDEC_CACHE, else specdec's part of the user's."""
    if own := os.environ.get("SPECDEC_CACHE"):
        return Path(os.path.expanduser(own))
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.expanduser(shared)) / "specdec"
    return Path.home() / ".cache" / "specdec"


def require_writable() -> Path:
    """The cache folder, created if need be.

    Raises:
        SpecdecError: it cannot be created or written to.
    """
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecdecError(f"The cache folder {root} cannot be created: {error.strerror}.", HINT) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise SpecdecError(f"The cache folder {root} cannot be written to.", HINT)
    return root


def require_disk(folder: Path, needed: int, purpose: str, hint: str = LARGER_CACHE) -> None:
    """Check that `folder`'s disk has room for `needed` bytes.

    Raises:
        ResourceError: it has less.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        problem = f"{purpose} needs {needed / 1e6:,.0f} MB of disk; {folder} has {free / 1e6:,.0f} MB free."
        raise ResourceError(problem, hint)


@contextmanager
def workspace(purpose: str) -> Iterator[Path]:
    """A folder of this process's own inside the cache, gone afterwards.

    Raises:
        ResourceError: the disk filled up inside the block.
        SpecdecError: the cache cannot be written to.
    """
    root = require_writable()
    _sweep(root)
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=WORKSPACE_PREFIX, dir=root))
        yield folder
    except OSError as error:
        raise _explained(error, root, purpose) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def put_folder(built: Path, folder: Path) -> None:
    """Move the folder `built` to `folder`, whatever lay there; `built` must be in a workspace."""
    sync_tree(built)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(3):  # more than one only if another process puts the same folder there now
        try:
            os.replace(built, folder)
            sync_folder(folder.parent)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EACCES):
                raise
        with suppress(FileNotFoundError):
            os.replace(folder, built.with_name(f"replaced-{attempt}"))  # goes with the workspace
    os.replace(built, folder)
    sync_folder(folder.parent)


@contextmanager
def alone(path: Path, report: Report) -> Iterator[None]:
    """A block in which no other process makes what shall lie at `path`; waits for one that does.

    Raises:
        SpecdecError: the cache cannot be written to.
    """
    root = require_writable()
    if path in _being_made:
        yield
        return
    name = hashlib.sha256(str(path.relative_to(root)).encode(errors="surrogateescape")).hexdigest()[:16]

    def waiting() -> None:
        report(f"Waiting for another process that makes {path.name}")

    try:
        lock = waited_for(root / f"{LOCK_PREFIX}{name}", waiting)
    except OSError as error:
        raise _explained(error, root, "The lock of the cache") from error
    _being_made.add(path)
    try:
        yield
    finally:
        _being_made.discard(path)
        lock.release()


def _sweep(root: Path) -> None:
    for abandoned in root.glob(f"{WORKSPACE_PREFIX}*"):
        try:
            stale = time.time() - abandoned.stat().st_mtime > STALE_SECONDS
        except FileNotFoundError:  # its owner was quicker
            continue
        if stale:
            shutil.rmtree(abandoned, ignore_errors=True)


def _explained(error: OSError, root: Path, purpose: str) -> SpecdecError:
    if is_full(error):
        return ResourceError(f"{purpose} filled the disk that holds {root}.", LARGER_CACHE)
    return SpecdecError(f"{purpose} could not write to {root}: {reason(error)}.", HINT)
