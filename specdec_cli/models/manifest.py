"""Which converted models are whole: each has a list of its files, written last and checked on every load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from specdec_cli.models.cache_folder import cache_root

MANIFEST = "specdec.json"
FORMAT = 1


def write_manifest(folder: Path, source: str) -> None:
    """Say that `folder` is whole; the last thing to be written to it."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "source": source, "files": sizes}, indent=2))


def is_whole(folder: Path, source: str = "") -> bool:
    """Whether a conversion of `source` finished here and every file still has its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(manifest == {"format": FORMAT, "source": source, "files": sizes})


def converted_folder(gguf: Path) -> tuple[Path, str]:
    """Where a user's GGUF file is converted to, and what identifies its content: path, size and time.

    A digest would be safer still, but reading a large file for it takes longer than loading the model.
    """
    stat = gguf.stat()
    source = hashlib.sha256(f"{gguf.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    return cache_root() / "converted" / f"{gguf.stem}-{source[:12]}", source
