"""A trace on disk: JSON lines, written as a run goes; with an ending of .gz they are compressed.

The first line says what it is; then each run has a line of its own, and a line for each of its steps.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from specdec_cli.errors import InputError
from specdec_cli.settings import Settings, settings_from
from specdec_cli.storage.lines import REPAIR, values_in
from specdec_cli.storage.numbers import LARGEST, Amount, Count, Id, Index
from specdec_cli.storage.output import Output
from specdec_cli.storage.reading import conform, existing_file
from specdec_cli.tracing.truncation import Row

SCHEMA_VERSION = 1
KIND = "specdec trace"
TOP = 32
WIDEST = 1 << 24  # tokens of a vocabulary
GZIP = 31  # as zlib calls that format with the largest window
KEPT = "What was recorded before is kept. Free some space, or name a folder on a larger disk."


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One pass of the target.

    Attributes:
        position: of the first guess in the text.
        tokens, parents: of the guesses, as in `TokenTree`.
        scores: of the guesses; may be empty.
        without: for each guess, the ids that could not be drawn in its place; None where it was chosen
            without chance.
        path: guesses that survived.
        next_token: that came after them.
        emitted: ids added to the text.
        expected: guesses that the verifier was expected to accept of this tree, from the whole distributions.
        rows: the models' distributions after the text and after each guess.
    """

    position: Count
    tokens: tuple[Id, ...]
    parents: tuple[Index, ...]
    scores: tuple[float, ...]
    without: tuple[tuple[Id, ...] | None, ...]
    path: tuple[Id, ...]
    next_token: Id
    emitted: tuple[Id, ...]
    expected: Amount
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class TracedRun:
    """One prompt under one configuration.

    Attributes:
        configuration: its name.
        item: id of the prompt.
        category: of the prompt.
        settings: that made it.
        prompt: ids.
        steps: of the run.
    """

    configuration: str
    item: str
    category: str
    settings: Settings
    prompt: tuple[int, ...]
    steps: list[TracedStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """All that a file holds.

    Attributes:
        vocab_size: of the target's vocabulary.
        top: likeliest tokens that were kept of each distribution.
        runs: in the order in which they were made.
    """

    vocab_size: int
    top: int
    runs: list[TracedRun]


class TraceFile(AbstractContextManager["TraceFile"]):
    """A trace that is being written; what is there already is never written over.

    While a block of it lasts, no other process can write the file.

    Args:
        path: of the file.
        top: likeliest tokens to keep of each distribution.

    Raises:
        InputError: there is such a file; or, at the beginning of a block, it cannot be written.
    """

    def __init__(self, path: Path, top: int = TOP) -> None:
        self.top = top
        self._path = path
        self._output = Output(path, "The trace", room=KEPT, begin=self._require_empty)
        self._pack = zlib.compressobj(wbits=GZIP) if _is_packed(path) else None
        self._begun = False
        self._is_whole = True
        with self:
            pass  # what would keep it from being written is known at once

    def __enter__(self) -> TraceFile:
        self._output.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._begun and self._pack is not None and self._is_whole:
                self._is_whole = False
                self._output.append(self._pack.flush())
        finally:
            self._output.__exit__()

    def _require_empty(self) -> None:
        # A run that was killed before its first step may have left a file without anything in it.
        if not self._begun and self._path.exists() and self._path.stat().st_size:
            problem = f"The file {self._path} is there already."
            raise InputError(problem, "Give --trace another name, or remove it.")

    def begin(self, run: TracedRun, vocab_size: int) -> None:
        """A run begins."""
        if not self._begun:
            self._begun = True
            self._write(
                {"kind": KIND, "schema_version": SCHEMA_VERSION, "width": vocab_size, "top": self.top}
            )
        given = {"configuration": run.configuration, "item": run.item, "category": run.category}
        self._write({"run": given | {"settings": asdict(run.settings), "prompt": run.prompt}})

    def add(self, step: TracedStep) -> None:
        """A step of the run that was begun last.

        Raises:
            ResourceError: the disk is full; what was written before is whole.
        """
        self._write({"step": asdict(step)})

    def _write(self, line: Mapping[str, object]) -> None:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
        content = text.encode(errors="backslashreplace")
        if self._pack is not None:
            content = self._pack.compress(content) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        self._is_whole = False  # until all of it is there; a stream that lacks a piece must not be ended
        self._output.append(content, sync=False)
        self._is_whole = True


@dataclass(frozen=True, slots=True)
class _Head:
    """The first line."""

    kind: Literal["specdec trace"]
    schema_version: int
    width: Annotated[int, Meta(ge=1, le=WIDEST)]
    top: Annotated[int, Meta(ge=1, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class _Run:
    """The line of a run."""

    configuration: str
    item: str
    category: str
    settings: dict[str, Any]
    prompt: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """Any other line than the first: of a run, or of a step."""

    run: _Run | None = None
    step: TracedStep | None = None


def read_trace(path: Path) -> Trace:
    """The trace in a file; a last line that a kill cut short is left out.

    Raises:
        InputError: there is none, or it is no trace of this version; the line is named.
    """
    path = existing_file(path, "The trace", "Give a file that --trace wrote.")
    lines = _lines(path)
    head = _head(path, next(lines, (1, None))[1])
    runs: list[TracedRun] = []
    for number, value in lines:
        place = f"{path}, line {number}"
        line = conform(value, _Line, place, REPAIR)
        if line.run is not None:
            runs.append(_run(line.run, place))
        elif line.step is None or not runs:
            raise InputError(f"{place}: not a line of a trace.", REPAIR)
        else:
            _require_sound(line.step, head.width, place)
            _add_step(path, number, runs[-1].steps, line.step)
    if not any(run.steps for run in runs):
        raise InputError(f"The trace {path} has no steps.", "Record one with --trace.")
    return Trace(head.width, head.top, _each_once(path, runs))


def _head(path: Path, value: Any) -> _Head:
    place = f"{path}, line 1"
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise InputError(f"{place}: not a trace.", "Give a file that --trace wrote.")
    if value.get("schema_version") != SCHEMA_VERSION:
        problem = f"{place}: not a trace of version {SCHEMA_VERSION}."
        raise InputError(problem, "Read it with the version of specdec that wrote it.")
    return conform(value, _Head, place, REPAIR)


def _require_sound(step: TracedStep, vocab_size: int, place: str) -> None:
    """Check what types cannot say: that the numbers of a step belong together."""
    nodes = len(step.tokens)
    rows = step.rows
    faults = {
        "as many parents as guesses": len(step.parents) != nodes,
        "parents before their children": any(parent >= node for node, parent in enumerate(step.parents)),
        "as many scores as guesses, or none": len(step.scores) not in (0, nodes),
        "a list of what could not be drawn for each guess": len(step.without) != nodes,
        "a row more than there are guesses": len(rows) != nodes + 1,
        "a path of guesses": any(node >= nodes for node in step.path),
        "ids within the vocabulary": any(
            token >= vocab_size for token in (*step.tokens, step.next_token, *step.emitted)
        ),
        "rows of ids within the vocabulary": any(token >= vocab_size for row in rows for token in row.tokens),
        "a probability for each id of a row": any(
            len(row.target) != len(row.tokens) or len(row.draft) not in (0, len(row.tokens)) for row in rows
        ),
    }
    wanted = next((name for name, is_so in faults.items() if is_so), None)
    if wanted is not None:
        raise InputError(f"{place}: a step has {wanted}, and this one has not.", REPAIR)


def _add_step(path: Path, number: int, steps: list[TracedStep], step: TracedStep) -> None:
    """A line that stands there twice counts once, and a run's steps go forwards."""
    if steps and step == steps[-1]:
        return
    if steps and step.position <= steps[-1].position:
        raise InputError(f"{path}, line {number}: a step that is not after the one before.", REPAIR)
    steps.append(step)


def _each_once(path: Path, runs: Sequence[TracedRun]) -> list[TracedRun]:
    """The runs, each once where it stands there twice."""
    known: dict[tuple[str, str], TracedRun] = {}
    for run in runs:
        if known.setdefault((run.configuration, run.item), run) != run:
            problem = f"{path} holds two runs of {run.configuration!r} on {run.item!r} that differ."
            raise InputError(problem, "Remove one of them.")
    return list(known.values())


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with gzip.open(path, "rb") if _is_packed(path) else path.open("rb") as file:
            yield from values_in(path, file)
    except EOFError:  # a compressed file whose writer was killed: what came before is whole
        return
    except (OSError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a trace.", "Give a file that --trace wrote.") from error


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _run(line: _Run, place: str) -> TracedRun:
    settings = settings_from(line.settings, place)
    return TracedRun(line.configuration, line.item, line.category, settings, line.prompt)
