"""Many prompts, one file of results: appended as they come, gone on from after a kill, always valid JSON."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from specdec_cli.errors import InputError
from specdec_cli.evaluation.datasets import Item
from specdec_cli.evaluation.results import objects

OPENING, CLOSING = "[\n", "\n]\n"


@dataclass(frozen=True, slots=True)
class FieldNames:
    """What the fields of a record are called."""

    prompt: str
    reference: str
    prediction: str


NAMES = {
    "plain": FieldNames("prompt", "reference", "prediction"),
    "specem": FieldNames("instruction", "output", "spec_pred"),
}


class Progress(Protocol):
    """Told how far a batch is."""

    def begin(self, total: int) -> None:
        """So many prompts there are."""
        ...

    def advance(self, what: str) -> None:
        """One more is done, or was before."""
        ...


class ResultsFile:
    """A file of records: a JSON array, or an object a line where it is called .jsonl.

    Between two records the file is valid JSON; a record that a kill tore is made again.

    Args:
        path: of the file; need not exist.
        names: of its fields.
        settings: of the run, kept in each record.

    Raises:
        InputError: the file holds something else, or results of other settings.
    """

    def __init__(self, path: Path, names: FieldNames, settings: Mapping[str, object]) -> None:
        self._path = path
        self._names = names
        self._settings = json.loads(json.dumps(dict(settings)))
        self._lines = path.suffix.lower() == ".jsonl"
        self.records: list[dict[str, Any]] = []
        if path.exists():
            self.records = self._read()
            self._write_all()

    def has(self, item: Item) -> bool:
        """Whether that prompt was answered before.

        Raises:
            InputError: the file has another prompt under its id.
        """
        known = next((record for record in self.records if record["id"] == item.id), None)
        if known is not None and known[self._names.prompt] != item.prompt:
            problem = f"{self._path} holds another prompt under the id {item.id!r}."
            raise InputError(problem, "Give another --output, or remove the file.")
        return known is not None

    def add(self, item: Item, result: Mapping[str, Any]) -> None:
        """Append an answer, to the disk at once; `result` has its `prediction` and what else to keep."""
        rest = {name: value for name, value in result.items() if name != "prediction"}
        record = {
            "id": item.id,
            **({"dataset": item.category} if item.category else {}),
            self._names.prompt: item.prompt,
            **({} if item.reference is None else {self._names.reference: item.reference}),
            **item.extra,
            self._names.prediction: result["prediction"],
            **rest,
            "settings": self._settings,
        }
        if not self.records:
            self.records.append(record)
            self._write_all()
            return
        self.records.append(record)
        text = json.dumps(record, ensure_ascii=False)
        with self._path.open("r+b") as file:
            file.seek(0 if self._lines else -len(CLOSING), os.SEEK_END)
            file.write((f"{text}\n" if self._lines else f",\n{text}{CLOSING}").encode())
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[dict[str, Any]]:
        """The records up to one that was torn."""
        text = _up_to_torn_character(self._path)
        known: list[dict[str, Any]] = []
        try:
            for line, value in objects(self._path, text):
                known.append(self._checked(line, value))
        except InputError as error:
            if "not valid JSON" not in error.problem:
                raise
            if not known and text.strip() not in ("[", "") and not text.lstrip().startswith(("[", "{")):
                raise
        return known

    def _checked(self, line: int, value: Any) -> dict[str, Any]:
        needed = ("id", self._names.prompt, self._names.prediction, "settings")
        if not isinstance(value, dict) or any(name not in value for name in needed):
            problem = f"{self._path}, line {line}: no result of this command under these field names."
            raise InputError(problem, "Give another --output, or remove the file.")
        if value["settings"] != self._settings:
            names = {*value["settings"], *self._settings}
            changed = [each for each in names if value["settings"].get(each) != self._settings.get(each)]
            problem = f"{self._path} holds results of other settings: {', '.join(sorted(changed))}."
            raise InputError(problem, "Give another --output, or remove the file.")
        return value

    def _write_all(self) -> None:
        """Put the whole file in place in one step."""
        texts = [json.dumps(record, ensure_ascii=False) for record in self.records]
        if self._lines:
            text = "".join(f"{each}\n" for each in texts)
        else:
            text = OPENING + ",\n".join(texts) + CLOSING if texts else f"[]{CLOSING[-1]}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.part")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, self._path)


def _up_to_torn_character(path: Path) -> str:
    """The text of a file, without the bytes of a character that it ends inside of."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(path.read_bytes())
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text.", "Give another --output, or remove the file."
        ) from error


def run_batch(
    items: Sequence[Item],
    answer: Callable[[str], Mapping[str, Any]],
    results: ResultsFile,
    progress: Progress,
) -> None:
    """Answer every prompt that the file has no answer to, in order.

    Args:
        items: the prompts; ids must differ.
        answer: a prompt to its `prediction` and what else to keep.
        results: where answers go.
        progress: told of each.

    Raises:
        InputError: two prompts have one id, or the file has another prompt under one.
    """
    ids = [item.id for item in items]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise InputError(f"Two prompts have the id {twice!r}.", "Give each its own, or none an id.")
    missing = [item for item in items if not results.has(item)]
    progress.begin(len(items))
    for item in items:
        if item in missing:
            results.add(item, answer(item.prompt))
        progress.advance(item.id)
