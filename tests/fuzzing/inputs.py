"""Small valid inputs of every kind, each made when it is first asked for: what is then damaged."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import gguf_files
import gptq_checkpoints
import tiny_checkpoints as tiny
import torch
from fuzzing.children import Run, finish, start

from specdec_cli.models.eagle.checkpoint import save_eagle_head, vocabulary_digest
from specdec_cli.models.eagle.files import MadeFor
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.loader import load_model

SHARP = {"initializer_range": 0.3, "max_position_embeddings": 256}
TEXT = ("--tokens", "320", "--texts", "8", "--length", "32")
DISTIL = (*TEXT, "--batch", "4", "--epochs", "1", "--unroll", "2")
PROMPTS = [
    {"id": f"p{n}", "prompt": f"the cat {n}", "category": "a", "reference": f"dog {n}"} for n in range(3)
]
PRESET = """description: A small one.
method: specexec
temperature: 0.7
top_p: 0.9
max_tokens: 8
seed: 3
stop: [dog]
max_budget: 6
"""


class Inputs:
    """The valid inputs, in a folder.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._makers: dict[str, Callable[[Path], object]] = {
            "target": lambda path: tiny.folder(path, **SHARP),
            "draft": lambda path: tiny.folder(path, num_hidden_layers=1, noise=0.01, **SHARP),
            "sharded": self._sharded,
            "pickled": self._pickled,
            "model.gguf": tiny.gguf_file,
            "split": self._split,
            "gptq": self._gptq,
            "head": self._head,
            "distilled": self._distilled,
            "preset.yaml": lambda path: path.write_text(PRESET),
            "tree.json": lambda path: path.write_text(json.dumps({"parents": [-1, -1, 0, 0, 1]})),
            "tree.pt": self._growmap,
            "a.jsonl": lambda path: self._measured(path, "--exp-name", "a", "--save-dir", "."),
            "trace.jsonl": lambda path: self._measured(path, "--trace", "trace.jsonl"),
            "answers.jsonl": lambda path: path.write_text(_lines(_answered())),
            "answers.json": lambda path: path.write_text(json.dumps(_answered())),
            "prompts.jsonl": lambda path: path.write_text(_lines(PROMPTS)),
            "prompts.json": lambda path: path.write_text(json.dumps(PROMPTS)),
            "prompts.csv": _table,
        }

    def make(self, *names: str) -> None:
        """Make the inputs of these names, if they are not made yet."""
        for name in names:
            if not (self.root / name).exists():
                self._makers[name](self.root / name)

    def bring(self, *names: str) -> None:
        """Copy inputs, made before, into the current folder."""
        for name in names:
            source = self.root / name
            shutil.copytree(source, name) if source.is_dir() else shutil.copy(source, name)

    def _sharded(self, path: Path) -> None:
        tiny.model(**SHARP).save_pretrained(path, max_shard_size="20KB")
        tiny.tokenizer().save_pretrained(path)

    def _pickled(self, path: Path) -> None:
        tiny.folder(path, **SHARP)
        (path / "model.safetensors").unlink()
        torch.save(tiny.model(**SHARP).state_dict(), path / "pytorch_model.bin")

    def _split(self, path: Path) -> None:
        path.mkdir()
        gguf_files.split(path / "model.gguf", 2)

    def _gptq(self, path: Path) -> None:
        packed, _ = gptq_checkpoints.checkpoint(path.with_name("dense-and-packed"), act_order=True)
        packed.rename(path)

    def _head(self, path: Path) -> None:
        self.make("target")
        loaded = load_model(str(self.root / "target"), device="cpu", dtype="float32")
        known = torch.arange(0, tiny.SIZES["vocab_size"], 2)
        model = loaded.model
        torch.manual_seed(1)
        head = new_eagle_head(model.get_input_embeddings(), known, 1, head_shape(model.config), torch.float32)
        path.mkdir()
        made_for = MadeFor("target", model.config.hidden_size, vocabulary_digest(loaded.tokenizer))
        save_eagle_head(head, made_for, path, "float16")

    def _distilled(self, path: Path) -> None:
        self.make("target")
        self._run(path, "distill", "--target", "../target", "-o", "distilled", *DISTIL, "--quiet")

    def _growmap(self, path: Path) -> None:
        found = {"roots": [[0], [1, 2], [3]], "branches": [[2], [1, 0], [0]], "mask": torch.ones(4, 4)}
        found |= {"Successors": [[1, 2], [3], [], []], "depth": torch.tensor([0, 1, 1, 2]), "size": 4}
        torch.save(found, path)

    def _measured(self, path: Path, *flags: str) -> None:
        self.make("target", "prompts.jsonl")
        which = ("--methods", "sps", "--draft", "layers:1", "--n-tests", "2", "-n", "8")
        self._run(path, "bench", "--target", "../target", "--dataset", "../prompts.jsonl", *which, *flags)

    def _run(self, path: Path, *arguments: str) -> None:
        """Run the program in a folder beside the inputs, and take what it wrote by the name of `path`."""
        folder = self.root / f"making-{path.name}"
        child = start(folder, lambda: Run(_absolute(arguments, self.root)))
        while (ended := finish(child)) is None:
            pass
        assert ended.code == 0, ended
        shutil.move(folder / "work" / path.name, path)


def _absolute(arguments: tuple[str, ...], root: Path) -> tuple[str, ...]:
    return tuple(str(root / each[3:]) if each.startswith("../") else each for each in arguments)


def _answered() -> list[dict[str, object]]:
    return [{**each, "prediction": f"a dog {number}"} for number, each in enumerate(PROMPTS)]


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _table(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(PROMPTS[0]))
        writer.writeheader()
        writer.writerows(PROMPTS)
