"""Answers to score: a file of results, as a JSON array or as JSON lines, read with the line of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.evaluation.fields import (
    CATEGORY_FIELDS,
    ID_FIELDS,
    PROMPT_FIELDS,
    REFERENCE_FIELDS,
    field_text,
    kind_of,
    references_of,
    texts,
)
from specdec_cli.storage.reading import read_text

PREDICTION_FIELDS = ("prediction", "spec_pred", "gf_pred", "unite_pred", "completion", "response", "text")
MOST_BYTES = 2 << 30  # of a file
SUFFIXES = (".json", ".jsonl")
EXAMPLE = 'Write objects such as {"prompt": "2 + 2?", "prediction": "4", "reference": "4"}.'


class InvalidJsonError(InputError):
    """A file that is not JSON.

    Attributes:
        at: where in its text the value or the mark that cannot be read begins.
    """

    def __init__(self, path: Path, text: str, at: int, reason: object) -> None:
        hint = "If the run that wrote it was broken off, run it again to go on."
        super().__init__(f"{path}, line {_line_of(text, at)}: not valid JSON ({reason}).", hint)
        self.at = at


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a prompt, and what a good answer would have been.

    Attributes:
        line: where it stands in its file.
        id: by which two files are paired; the number of the record where it names none.
        named: whether the record names its id.
        dataset: that the prompt is from; may be empty.
        prompt: may be empty, where the file does not say.
        prediction: the answer; may be empty.
        reference: None where the file has none, or an empty one.
        record: everything that the file says of it.
        references: all good answers where there are several.
    """

    line: int
    id: str
    named: bool
    dataset: str
    prompt: str
    prediction: str
    reference: str | None
    record: Mapping[str, Any]
    references: tuple[str, ...] = ()

    @property
    def good(self) -> tuple[str, ...]:
        """The references, of which any is good; none where there is none."""
        return self.references or (() if self.reference is None else (self.reference,))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was answered."""
        return not self.prediction.strip()


def read_answers(path: Path, prediction_field: str | None = None) -> list[Answer]:
    """The answers of a file, in its order.

    Args:
        path: a JSON array of objects, or an object a line.
        prediction_field: which field holds the answer; the first present of `PREDICTION_FIELDS` where None.
            An answer of null is an empty one.

    Raises:
        InputError: the file cannot be read, or an object in it has no answer; the line is named.
    """
    fields = PREDICTION_FIELDS if prediction_field is None else (prediction_field,)
    answers = [
        _answer(path, line, number, value, fields)
        for number, (line, value) in enumerate(objects(path, read_text(path, "The file", MOST_BYTES)), 1)
    ]
    if not answers:
        raise InputError(f"{path} holds no answers.", EXAMPLE)
    return answers


def results_files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and those of folders in the order of their names.

    Raises:
        InputError: there is none of that name, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"The folder {path} holds no .json or .jsonl file.", "Name another.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"There is no file {path}.", "Give a file of answers, or a folder of them.")
    return found


def objects(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Line and value of each object in an array, or of each line.

    Raises:
        InvalidJsonError: something is not valid JSON; what stood before it was given.
    """
    return _array(path, text) if text.lstrip().startswith("[") else _lines(path, text)


def _lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    at = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidJsonError(path, text, at, getattr(error, "msg", error)) from error
        at += len(line) + 1


def _array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The elements of an array one by one, so that each has its line and a torn end spares the rest."""
    decoder = json.JSONDecoder()
    at = _after_space(text, text.index("[") + 1)
    first, line, counted = True, 1, 0  # the line of what stands at `counted`
    while not text.startswith("]", at):
        if not first:
            if not text.startswith(",", at):
                raise InvalidJsonError(path, text, at, "the array is not closed")
            at = _after_space(text, at + 1)
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise InvalidJsonError(path, text, at, getattr(error, "msg", error)) from error
        line, counted = line + text.count("\n", counted, at), at
        yield line, value
        at, first = _after_space(text, end), False
    if text[at + 1 :].strip():
        raise InvalidJsonError(path, text, at, "something follows the array")


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _answer(path: Path, line: int, number: int, value: Any, fields: Sequence[str]) -> Answer:
    place = f"{path}, line {line}"
    if not isinstance(value, dict):
        raise InputError(f"{place}: not an object.", EXAMPLE)
    chosen = next((name for name in fields if name in value), None)
    if chosen is None:
        present = ", ".join(value) or "it has none"
        problem = f"{place}: none of its fields is an answer ({present})."
        raise InputError(problem, f"These are: {', '.join(fields)}. --prediction-field names another.")
    rest = {name: each for name, each in value.items() if name != chosen}
    name = field_text(rest, ID_FIELDS, place)
    turns = rest.get("turns")
    references = references_of(rest, len(turns) if isinstance(turns, list) else 1, place, REFERENCE_FIELDS)
    return Answer(
        line=line,
        id=name or str(number),
        named=bool(name),
        dataset=field_text(rest, CATEGORY_FIELDS, place) or "",
        prompt=field_text(rest, PROMPT_FIELDS, place) or "",
        prediction=_prediction(value[chosen], chosen, place),
        reference=next(iter(references), None),
        record=value,
        references=tuple(references) if len(references) > 1 else (),
    )


def _prediction(value: object, name: str, place: str) -> str:
    """The answer; of a list, its first element."""
    first_of_all = next(iter(value), "") if isinstance(value, list) else value
    if first_of_all is None:
        return ""
    if isinstance(first_of_all, bool):
        raise InputError(f"{place}: {name} is {kind_of(first_of_all)}, not text.", "Put the text there.")
    return texts(first_of_all, name, place)[0]
