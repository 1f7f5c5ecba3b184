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

from specdec_cli.distillation.chat_turns import Role
from specdec_cli.distillation.data_generation import Shard
from specdec_cli.distillation.recipe import refusal
from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.safetensors_headers import read_header
from specdec_cli.models.hub.disk import writing
from specdec_cli.storage.atomic import replacing, write_whole
from specdec_cli.storage.reading import read_json

IDENTITY = "corpus.json"
HELD_OUT = 1  # the first shard is never trained on
ALL = slice(None)
LARGEST = 1 << 20  # bytes of corpus.json
COLUMNS = {"tokens": ("I32", 2), "roles": ("U8", 2), "features": ("F16", 3), "normalisers": ("F32", 2)}
AGAIN = "Delete it, and the same command writes it again."
KEPT = "What was finished is kept: free some space, and the same command goes on."


class Corpus:
    """A folder of shards that one recipe writes.

    Args:
        folder: where they lie; made if need be.
        identity: whatever decides what is written; a folder of another identity is refused.

    Raises:
        InputError: the folder holds text of another recipe, or its corpus.json is damaged.
    """

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        self.folder = folder
        self._size = (identity["texts"], identity["length"])
        with writing(f"The folder {folder}", KEPT):
            folder.mkdir(parents=True, exist_ok=True)
        known = folder / IDENTITY
        if not known.exists():
            replace_text(known, json.dumps(identity, indent=1) + "\n")
            return
        what = f"{folder} holds text that was written for another target or with other settings"
        hint = "Use another --output, or delete that folder."
        kept = read_json(known, dict[str, str | int | float | None], "The file", LARGEST, hint)
        found = refusal(what, kept, identity, hint)
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
        with writing(f"The target's text in {self.folder}", KEPT), replacing(self.path(number)) as part:
            save_file(asdict(shard), part)

    def read(self, number: int, texts: slice = ALL) -> Shard:
        """Texts of the shard of that number, all or some of them.

        Raises:
            InputError: it is damaged.
        """
        self.check(number)
        try:
            with safe_open(self.path(number), framework="pt") as stored:
                return Shard(*(stored.get_slice(name)[texts] for name in Shard.__slots__))
        except (OSError, SafetensorError) as error:
            raise self._damaged(number, str(error).partition("\n")[0]) from error

    def check(self, number: int) -> None:
        """Check a shard's header: its tensors are there, and of the sizes that the corpus says.

        Raises:
            InputError: it is damaged.
        """
        path = self.path(number)
        try:
            found = read_header(path, AGAIN).tensors
        except SpecdecError as error:
            raise InputError(error.problem, AGAIN) from error
        for name, (dtype, dimensions) in COLUMNS.items():
            column = found.get(name)
            if column is None:
                raise self._damaged(number, f"it has no {name}")
            if column.dtype != dtype or len(column.shape) != dimensions or column.shape[:2] != self._size:
                raise self._damaged(number, f"its {name} are not of the corpus's number of texts and tokens")

    def _damaged(self, number: int, why: str) -> InputError:
        return InputError(f"{self.path(number)} is damaged: {why}.", AGAIN)

    def _require_sound(self, number: int, shard: Shard, vocab_size: int, hidden: int) -> None:
        faults = {
            "ids that the target does not have": bool(
                ((shard.tokens < 0) | (shard.tokens >= vocab_size)).any()
            ),
            "roles that there are not": bool((shard.roles > max(Role)).any()),
            "hidden states of another width": shard.features.shape[2] != hidden,
            "numbers that are not finite": not all(
                bool(each.isfinite().all()) for each in (shard.features, shard.normalisers)
            ),
        }
        for what, is_so in faults.items():
            if is_so:
                raise self._damaged(number, f"it holds {what}")

    def token_counts(self, vocab_size: int, hidden: int, shards: int) -> Tensor:
        """How often each token was said by the target in the training shards: (V,) int64.

        Args:
            vocab_size: V of the target.
            hidden: size of its hidden states.
            shards: how many to look through, the one that is held out among them.

        Raises:
            InputError: one holds what the target cannot have written.
        """
        counts = torch.zeros(vocab_size, dtype=torch.int64)
        for number in range(shards):
            shard = self.read(number)
            self._require_sound(number, shard, vocab_size, hidden)
            if number >= HELD_OUT:
                said = shard.tokens[shard.roles != Role.TEMPLATE]
                counts += torch.bincount(said.long(), minlength=vocab_size)
        return counts


def replace_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    with writing(str(path), KEPT):
        write_whole(path, text)
