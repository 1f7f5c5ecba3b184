"""Many prompts, one file of results: appended as they come, gone on from after a kill, always valid JSON."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from specdec_cli.errors import InputError
from specdec_cli.evaluation.datasets import Item
from specdec_cli.evaluation.results import MOST_BYTES, InvalidJsonError, objects
from specdec_cli.storage.output import Output
from specdec_cli.storage.reading import read_file

OPENING, CLOSING = "[\n", "\n]\n"
BEGINNING = '{"id": '  # of a record as it is written; within one, line ends are escaped
ELSEWHERE = "Give another --output, or remove the file."
KEPT = "The answers before it are kept: free some space, and the same command goes on."
NAMED = 5  # ids that a message lists


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


class ResultsFile(AbstractContextManager["ResultsFile"]):
    """A file of records: a JSON array, or an object a line where it is called .jsonl.

    It is read at the beginning of a block; while the block lasts, no other process can write it. Between two
    records the file is valid JSON; a record that a kill tore is made again.

    Args:
        path: of the file; need not exist.
        names: of its fields.
        settings: of the run, kept in each record.

    Raises:
        InputError: at the beginning of a block: the file holds something else, is damaged elsewhere than at
            its end, or holds results of other settings, and is left as it is; or it cannot be written, or
            another process writes it.
    """

    def __init__(self, path: Path, names: FieldNames, settings: Mapping[str, object]) -> None:
        self._path = path
        self._names = names
        self._settings = json.loads(json.dumps(dict(settings)))
        self._lines = path.suffix.lower() == ".jsonl"
        self._output = Output(path, "The file of results", make_folders=True, room=KEPT, begin=self._begin)
        self.records: list[dict[str, Any]] = []
        self._prompts: dict[str, str] = {}

    def __enter__(self) -> ResultsFile:
        self._output.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._output.__exit__()

    def has(self, item: Item) -> bool:
        """Whether that prompt was answered before.

        Raises:
            InputError: the file has another prompt under its id.
        """
        if self._prompts.get(item.id, item.prompt) != item.prompt:
            raise InputError(f"{self._path} holds another prompt under the id {item.id!r}.", ELSEWHERE)
        return item.id in self._prompts

    def add(self, item: Item, result: Mapping[str, Any]) -> None:
        """Append an answer, to the disk at once; `result` has its `prediction` and what else to keep.

        Raises:
            ResourceError: the disk is full; the file is as it was.
            SpecdecError: it cannot be written.
        """
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
        with self:
            if not self.records:
                self._output.replace(self._whole([record]))
            elif self._lines:
                self._output.append(self._encoded([record]) + b"\n")
            else:
                ending = b",\n" + self._encoded([record]) + CLOSING.encode()
                self._output.append(ending, over=len(CLOSING))
            self.records.append(record)
            self._prompts[item.id] = item.prompt

    def _begin(self) -> None:
        """Read what is there, and put it in order."""
        self.records = self._read() if self._path.exists() else []
        self._prompts = {record["id"]: record[self._names.prompt] for record in self.records}
        self._repair()

    def _read(self) -> list[dict[str, Any]]:
        """The records up to one that was torn."""
        text = _up_to_torn_character(self._path)
        known: dict[str, dict[str, Any]] = {}
        try:
            for line, value in objects(self._path, text):
                record = self._checked(line, value)
                if known.setdefault(record["id"], record) != record:
                    problem = f"{self._path}, line {line}: another answer under the id {record['id']!r}."
                    raise InputError(problem, "Remove one of the two.")
        except InvalidJsonError as error:
            if not self._is_torn(text, error.at):
                raise InputError(error.problem, ELSEWHERE) from error
        return list(known.values())

    def _is_torn(self, text: str, at: int) -> bool:
        """Whether a kill can have left what is unreadable from there on: the beginning of the last record."""
        beginning = BEGINNING if self._lines else OPENING + BEGINNING
        ours = text.startswith(beginning) or beginning.startswith(text)
        rest = text[at:]
        if self._lines:
            return ours and "\n" not in rest.rstrip()
        return ours and f"\n{BEGINNING}" not in rest and not rest.startswith("]")

    def _checked(self, line: int, value: Any) -> dict[str, Any]:
        kinds = {"id": str, self._names.prompt: str, self._names.prediction: str, "settings": dict}
        if not isinstance(value, dict) or not all(
            isinstance(value.get(name), kind) for name, kind in kinds.items()
        ):
            problem = f"{self._path}, line {line}: no result of this command under these field names."
            raise InputError(problem, ELSEWHERE)
        if value["settings"] != self._settings:
            names = {*value["settings"], *self._settings}
            changed = [each for each in names if value["settings"].get(each) != self._settings.get(each)]
            problem = f"{self._path} holds results of other settings: {', '.join(sorted(changed))}."
            raise InputError(problem, ELSEWHERE)
        return value

    def _repair(self) -> None:
        """Put the file in order, in one step, if a kill or somebody's hand left it in another."""
        whole = self._whole(self.records)
        if self._path.exists() and self._path.read_bytes() != whole:
            self._output.replace(whole)

    def _whole(self, records: Sequence[Mapping[str, Any]]) -> bytes:
        """The file with those records."""
        if self._lines:
            return b"".join(self._encoded([record]) + b"\n" for record in records)
        return OPENING.encode() + self._encoded(records) + CLOSING.encode() if records else b"[]\n"

    def _encoded(self, records: Sequence[Mapping[str, Any]]) -> bytes:
        """Records with commas; half a surrogate pair is escaped, as JSON has it."""
        text = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        return text.encode(errors="backslashreplace")


def _up_to_torn_character(path: Path) -> str:
    """The text of a file, without the bytes of a character that it ends inside of."""
    content = read_file(path, "The file of results", MOST_BYTES)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text.", ELSEWHERE) from error


def run_batch(
    items: Sequence[Item],
    answer: Callable[[str], Mapping[str, Any]],
    results: ResultsFile,
    progress: Progress,
    require: Callable[[str], None] = lambda prompt: None,
) -> None:
    """Answer every prompt that the file has no answer to, in order.

    Args:
        items: the prompts; ids must differ.
        answer: a prompt to its `prediction` and what else to keep.
        results: where answers go.
        progress: told of each.
        require: raises `InputError` for a prompt that cannot be answered, such as one that is too long. All
            missing ones are asked about before the first is answered.

    Raises:
        InputError: two prompts have one id, the file has another under one, or some cannot be answered.
    """
    counts = Counter(item.id for item in items)
    twice = next((each for each, count in counts.items() if count > 1), None)
    if twice is not None:
        raise InputError(f"Two prompts have the id {twice!r}.", "Give each its own, or none an id.")
    with results:
        missing = [item for item in items if not results.has(item)]
        _require_all(missing, require)
        left = {item.id for item in missing}
        progress.begin(len(items))
        for item in items:
            if item.id in left:
                results.add(item, answer(item.prompt))
            progress.advance(item.id)


def _require_all(items: Sequence[Item], require: Callable[[str], None]) -> None:
    refused: list[tuple[str, InputError]] = []
    for item in items:
        try:
            require(item.prompt)
        except InputError as error:
            refused.append((item.id, error))
    if refused:
        names = ", ".join(name for name, _ in refused[:NAMED]) + (", ..." if len(refused) > NAMED else "")
        first = refused[0][1]
        problem = f"{len(refused)} of the prompts cannot be answered ({names}). {first.problem}"
        raise InputError(problem, f"Nothing was answered. {first.hint}") from first
