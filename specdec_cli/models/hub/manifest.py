"""Which converted models are whole: each has a list of its files, written last and checked on every load.

The list has each file's size, SHA-256 and time stamps. A load compares sizes and stamps, which costs nothing;
where a stamp differs (the file was written to, copied, or restored) it reads the file and compares its
digest, once: the new stamps are kept if the digest holds. What is not found is a disk that returns other
bytes than were written to it without a write.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from specdec_cli.models.gguf.parts import part_paths
from specdec_cli.models.hub.cache import cache_root
from specdec_cli.storage.atomic import write_whole

MANIFEST = "specdec.json"
FORMAT = 2  # raised whenever older folders must not be trusted; 1 had sizes alone


def write_manifest(folder: Path, source: str) -> None:
    """Say that `folder` is whole, once its files are on the disk; the last thing to be written to it."""
    files = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[str(path.relative_to(folder))] = {**_stamp(path), "sha256": _digest(path)}
    _write(folder, {"format": FORMAT, "source": source, "files": files})


def is_whole(folder: Path, source: str = "") -> bool:
    """Whether a conversion of `source` finished here and every file is still what was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = manifest["files"]
        if manifest != {"format": FORMAT, "source": source, "files": files} or not files:
            return False
        changed = False
        for name, kept in files.items():
            stamp = _stamp(folder / name)
            if stamp == {key: kept[key] for key in stamp}:
                continue
            if stamp["size"] != kept["size"] or _digest(folder / name) != kept["sha256"]:
                return False
            kept |= stamp
            changed = True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if changed:
        with suppress(OSError):  # a cache that is only read is checked by digest each time
            _write(folder, manifest)
    return True


def converted_folder(gguf: Path) -> tuple[Path, str]:
    """Where a user's GGUF file is converted to, and what identifies its content.

    That is path, size and times of the file and of every part if it is split. A digest would be safer still,
    but reading a large file for it takes longer than loading the model.
    """
    digest = hashlib.sha256()
    parts = part_paths(gguf.resolve())
    for path in parts:
        try:
            stat = path.stat()
            known = f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
        except OSError:
            known = "missing"
        digest.update(f"{path}\0{known}\0".encode(errors="surrogateescape"))
    source = digest.hexdigest()
    return cache_root() / "converted" / f"{parts[0].stem}-{source[:12]}", source


def _stamp(path: Path) -> dict[str, int]:
    """The change time is the system's alone to set, so no write goes without a trace."""
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    """Whole or not at all, since two processes may check one folder."""
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=2))
