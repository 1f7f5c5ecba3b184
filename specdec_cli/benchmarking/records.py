"""What a configuration made of a prompt, and the log that keeps it: written as it comes, read to go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specdec_cli.benchmarking.levels import Levels
from specdec_cli.engine.stats import RunStats
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import PLAIN
from specdec_cli.runtime.promise import Promise
from specdec_cli.settings import Settings, settings_from
from specdec_cli.storage.lines import REPAIR, LinesFile, read_lines
from specdec_cli.storage.numbers import Amount, Count, Number, Positive
from specdec_cli.storage.reading import conform, existing_file

SCHEMA_VERSION = 1
KEPT = "The runs before it are kept: free some space, and the same command goes on."


@dataclass(frozen=True, slots=True)
class Record:
    """One run: one configuration, one prompt.

    Attributes:
        configuration: its name.
        item: id of the prompt.
        category: of the prompt; may be empty.
        order: how many runs came before it.
        prompt_tokens: length of the prompt.
        tokens: emitted ids, counted.
        passes: of the target.
        drafted, accepted: tokens.
        tree_depth, tree_size: means over the steps.
        least_score: mean over the steps of the least cumulative log-probability in the tree; None where the
            drafter ranks nothing.
        draft_seconds, verify_seconds, overhead_seconds: of the decode time: in the draft's passes, in the
            target's, and outside both.
        seconds: decode time, the prompt apart.
        prefill_seconds: reading the prompt.
        first_token_seconds: reading the prompt and the first step.
        memory_bytes: greatest use so far: of the GPU in this run, else of the process.
        accepted_lengths: accepted guesses, step by step.
        text_hash: of the emitted ids, to see whether greedy texts agree.
        finish_reason: "stop" or "length".
        shares: of an ensemble's models, each its calls and its drafted and accepted tokens.
        baseline: name of the plain decoding that it is compared with; may be empty in old logs.
        levels: what acceptance depended on; None for peers and in old logs.
        streamed_bytes: of an offloaded target's weights, that came during the steps after the first.
        streamed_tokens, streamed_seconds: emitted in those steps, and the time from the end of the first
            to that of the last.
        transfer_seconds: of it, while weights were on their way.
        wait_seconds: of it, while the computation stood still for them.
        link_bandwidth: bytes per second at which they came right after the run, when nothing was computed.
        prompt_hash: of the prompt's text, since ids may be mere numbers; empty in old logs.
        identical: whether the text has to be the baseline's, as `runtime.promise` says; None where nothing is
            promised, for peers and in old logs.
    """

    configuration: str
    item: str
    category: str
    order: Count
    prompt_tokens: Count
    tokens: Count
    passes: Count
    drafted: Count
    accepted: Count
    tree_depth: Amount
    tree_size: Amount
    least_score: Number | None
    draft_seconds: Amount
    verify_seconds: Amount
    overhead_seconds: Number  # a difference, which may round to less than nothing
    seconds: Positive
    prefill_seconds: Amount
    first_token_seconds: Amount
    memory_bytes: Count
    accepted_lengths: tuple[Count, ...]
    text_hash: str
    finish_reason: str
    baseline: str = ""
    levels: Levels | None = None
    streamed_bytes: Count = 0
    streamed_tokens: Count = 0
    streamed_seconds: Amount = 0.0
    transfer_seconds: Amount = 0.0
    wait_seconds: Amount = 0.0
    link_bandwidth: Amount = 0.0
    shares: tuple[tuple[Count, Count, Count], ...] = ()
    prompt_hash: str = ""
    identical: Promise | None = None

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What a line has besides its record."""

    settings: dict[str, Any]
    machine: dict[str, str | int | float | None] | None = None


def shape_of(stats: RunStats) -> dict[str, Any]:
    """The fields of a record that are totals of a run."""
    return {
        "tokens": stats.tokens,
        "passes": stats.passes,
        "drafted": stats.drafted,
        "accepted": stats.accepted,
        "draft_seconds": stats.draft_seconds,
        "verify_seconds": stats.target_seconds,
        "overhead_seconds": stats.overhead_seconds,
        "seconds": stats.decode_seconds,
        "prefill_seconds": stats.prefill_seconds,
        "first_token_seconds": stats.first_token_seconds or 0.0,
        "accepted_lengths": tuple(stats.accepted_lengths),
        "shares": tuple((share.calls, share.drafted, share.accepted) for share in stats.shares),
    }


class Log(AbstractContextManager["Log"]):
    """A file of JSON lines, each a record with the settings and the machine that made it; or no file.

    While a block of it lasts, no other process can write the file; what a kill tore at its end is cut off.

    Raises:
        InputError: the file is no such log, or is of another version, or has two records of one run; the line
            is named. At the beginning of a block: it cannot be written, or another process writes it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None if path is None else LinesFile(path, "The log", make_folders=True, room=KEPT)
        self._read()

    def __enter__(self) -> Log:
        if self._file is not None:
            self._file.__enter__()
            try:
                self._read()  # another process may have added to it since
            except BaseException:
                self._file.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.__exit__()

    def has(self, configuration: str, item: str) -> bool:
        """Whether that run was made before."""
        return (configuration, item) in self._known

    def require_same(self, configuration: str, settings: Mapping[str, object]) -> None:
        """Check that what is known of a configuration was made with the same settings.

        Raises:
            InputError: it was made with others.
        """
        known = self._settings.get(configuration)
        wanted = json.loads(json.dumps(dict(settings)))
        if known is not None and known != wanted:
            changed = sorted(name for name in {*known, *wanted} if known.get(name) != wanted.get(name))
            problem = f"{self._path} holds {configuration!r} with other settings: {', '.join(changed)}."
            raise InputError(problem, "Give another --exp-name, or remove the file.")

    def require_same_prompt(self, item: str, prompt_hash: str) -> None:
        """Check that what is known of a prompt's id is of the same prompt, or raise an InputError."""
        known = {record.prompt_hash for record in self.records if record.item == item} - {""}
        if known - {prompt_hash}:
            problem = f"{self._path} holds another prompt under the id {item!r}."
            raise InputError(problem, "Give another --exp-name, or the data set that the log is of.")

    def other_machine(self, machine: Mapping[str, object]) -> list[str]:
        """What of a machine differs from one that made records of the log, by name."""
        here = json.loads(json.dumps(dict(machine)))
        return sorted(
            {name for there in self._machines for name in here if there.get(name, here[name]) != here[name]}
        )

    def add(self, record: Record, settings: Mapping[str, object], machine: Mapping[str, object]) -> None:
        """Append a record, to the file at once.

        Raises:
            ResourceError: the disk is full; the log is as it was.
            SpecdecError: it cannot be written.
        """
        if self._file is not None:
            line = {"schema_version": SCHEMA_VERSION, **asdict(record)}
            self._file.append(line | {"settings": dict(settings), "machine": dict(machine)})
        self.records.append(record)
        self._known.add((record.configuration, record.item))

    def _read(self) -> None:
        self.records: list[Record] = []
        self._settings: dict[str, Any] = {}
        self._machines: list[dict[str, Any]] = []
        lines = () if self._file is None else self._file.read()
        for record, line in _records(self._file.path if self._file else Path(), lines):
            self.records.append(record)
            self._machines.append(line.get("machine") or {})
            self._settings.setdefault(record.configuration, line["settings"])
        self._known = {(record.configuration, record.item) for record in self.records}


def read_log(path: Path) -> list[Record]:
    """The records of a log.

    Raises:
        InputError: there is no such file, it is empty, or a line is none of a log's.
    """
    records = [record for record, _ in _read(path)]
    if not records:
        raise InputError(f"The log {path} is empty.", "Run `specdec bench --exp-name NAME` first.")
    return records


def different_settings(one: Path, other: Path) -> list[str]:
    """The settings in which configurations of the same name differ between two logs."""
    first, second = (
        {record.configuration: line["settings"] for record, line in _read(path)} for path in (one, other)
    )
    return sorted(
        {
            name
            for configuration in first.keys() & second.keys()
            for name in first[configuration].keys() | second[configuration].keys()
            if first[configuration].get(name) != second[configuration].get(name)
        }
    )


def settings_in(path: Path) -> dict[str, Settings]:
    """The settings of each configuration in a log; what this version does not know of them is left out."""
    known: dict[str, Settings] = {}
    for record, line in _read(path):
        if record.configuration not in known:
            place = f"{path}, the settings of {record.configuration}"
            known[record.configuration] = settings_from(line["settings"], place)
    return known


def machine_in(path: Path) -> dict[str, str | int]:
    """The machine that made the last record of a log."""
    machine: dict[str, str | int] = {}
    for _, line in _read(path):
        machine = line.get("machine") or {}
    return machine


def baselines_of(records: Sequence[Record]) -> dict[str, str]:
    """Which plain decoding each configuration is compared with: in old logs, which do not say, the first."""
    return {record.configuration: record.baseline or PLAIN for record in records}


def _read(path: Path) -> Iterator[tuple[Record, dict[str, Any]]]:
    found = existing_file(path, "The log", "Give a log that `specdec bench --exp-name` wrote.")
    return _records(path, read_lines(found).lines)


def _records(path: Path, lines: Iterable[tuple[int, Any]]) -> Iterator[tuple[Record, dict[str, Any]]]:
    """The record of each line; a line that stands there twice counts once."""
    seen: dict[tuple[str, str], tuple[int, Any]] = {}
    for number, line in lines:
        record = _record(path, number, line)
        first, known = seen.setdefault((record.configuration, record.item), (number, line))
        if first == number:
            yield record, line
        elif known != line:
            problem = f"{path}, line {number}: another run of {record.configuration!r} on {record.item!r}"
            raise InputError(f"{problem} than on line {first}.", "Remove one of the two lines.")


def _record(path: Path, number: int, line: Any) -> Record:
    place = f"{path}, line {number}"
    if not isinstance(line, dict) or "schema_version" not in line:
        raise InputError(
            f"{place}: not a run of a benchmark.", "Give a log that `specdec bench --exp-name` wrote."
        )
    if line["schema_version"] != SCHEMA_VERSION:
        problem = f"{place}: not a record of version {SCHEMA_VERSION}."
        raise InputError(problem, "Read it with the version of specdec that wrote it.")
    conform(line, _Surroundings, place, REPAIR)
    return conform(line, Record, place, REPAIR)
