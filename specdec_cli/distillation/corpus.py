"""The text that a target wrote, in shards on disk: written once, and gone on with after a stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from specdec_cli.distillation.dialogue import Role
from specdec_cli.distillation.recipe import refusal
from specdec_cli.distillation.writing import Shard
from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.disk_room import writing
from specdec_cli.storage.atomic import replacing, write_whole

IDENTITY = "corpus.json"
HELD_OUT = 1  # the first shard is never trained on
ALL = slice(None)
KEPT = "What was finished is kept: free some space, and the same command goes on."


class Corpus:
    """A folder of shards that one recipe writes.

    Args:
        folder: where they lie; made if need be.
        identity: whatever decides what is written; a folder of another identity is refused.

    Raises:
        InputError: the folder holds text of another recipe.
    """

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        self.folder = folder
        with writing(f"The folder {folder}", KEPT):
            folder.mkdir(parents=True, exist_ok=True)
        known = folder / IDENTITY
        if not known.exists():
            replace_text(known, json.dumps(identity, indent=1) + "\n")
            return
        what = f"{folder} holds text that was written for another target or with other settings"
        hint = "Use another --output, or delete that folder."
        found = refusal(what, json.loads(known.read_text(encoding="utf-8")), identity, hint)
        if found is not None:
            raise InputError(*found)

    def path(self, number: int) -> Path:
        """Where the shard of that number lies, or will."""
        return self.folder / f"{number:05}.safetensors"

    @property
    def shards(self) -> int:
        """How many shards are written, from the first on without a gap."""
        count = 0
        while self.path(count).exists():
            count += 1
        return count

    def add(self, number: int, shard: Shard) -> None:
        """Put a shard on disk, whole or not at all."""
        place = self.path(number)
        with writing(f"The target's text in {self.folder}", KEPT), replacing(place) as part:
            save_file(asdict(shard), part)

    def read(self, number: int, texts: slice = ALL) -> Shard:
        """Texts of the shard of that number, all or some of them.

        Raises:
            SpecdecError: it is damaged.
        """
        try:
            with safe_open(self.path(number), framework="pt") as stored:
                return Shard(*(stored.get_slice(name)[texts] for name in Shard.__slots__))
        except (OSError, SafetensorError) as error:
            hint = "Delete it, and the same command writes it again."
            raise SpecdecError(f"{self.path(number)} is damaged.", hint) from error

    def token_counts(self, width: int, shards: int) -> Tensor:
        """How often each token was said by the target in the training shards: (V,) int64."""
        counts = torch.zeros(width, dtype=torch.int64)
        for number in range(HELD_OUT, shards):
            shard = self.read(number)
            said = shard.tokens[shard.roles != Role.TEMPLATE]
            counts += torch.bincount(said.long(), minlength=width)
        return counts


def replace_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    with writing(str(path), KEPT):
        write_whole(path, text)
