"""Whatever is wrong with a line of a trace is named with the line, and nothing in it is believed unseen."""

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from specdec_cli.errors import InputError
from specdec_cli.settings import Settings
from specdec_cli.storage import lines
from specdec_cli.tracing.file import Trace, TracedRun, TracedStep, TraceFile, read_trace
from specdec_cli.tracing.truncation import Row

VOCAB_SIZE = 9
ROW = Row((1, 2), (0.5, 0.25), (0.5, 0.5), ((7, 0.25, 0.0),))
STEP = TracedStep(
    position=3, tokens=(1, 2), parents=(-1, 0), scores=(-0.5, -1.0), without=(None, (1,)), path=(0,),
    next_token=4, emitted=(1, 4), expected=0.5, rows=(ROW, ROW, ROW),
)  # fmt: skip
RUN = TracedRun("sps", "a", "", Settings(method="sps"), (5, 6, 7))

Change = Callable[[dict[str, Any]], object]
HEADS: dict[str, Change] = {
    "not a trace.": lambda head: head.update(kind="diary"),
    "not a trace of version 1": lambda head: head.update(schema_version="1"),
    "width: expected int, got str": lambda head: head.update(width="9"),
    "width: expected int >= 1": lambda head: head.update(width=0),
    "width: expected int <= 16777216": lambda head: head.update(width=10**12),
    "top is missing": lambda head: head.pop("top"),
}
RUNS: dict[str, Change] = {
    "run: settings is missing": lambda run: run.pop("settings"),
    "run.settings: expected object, got array": lambda run: run.update(settings=[]),
    "gamma must be a whole number": lambda run: run["settings"].update(gamma="many"),
    "temperature must be a number": lambda run: run["settings"].update(temperature=-1),
    "run.prompt[0]: expected int, got str": lambda run: run.update(prompt=["5"]),
    "run.prompt: expected array, got str": lambda run: run.update(prompt="567"),
    "run.item: expected str, got int": lambda run: run.update(item=1),
}
STEPS: dict[str, Change] = {
    "step: rows is missing": lambda step: step.pop("rows"),
    "step.position: expected int, got float": lambda step: step.update(position=3.5),
    "step.tokens[0]: expected int, got float": lambda step: step.update(tokens=[1.0, 2]),
    "step.tokens[1]: expected int <= 2147483647": lambda step: step.update(tokens=[1, 10**20]),
    "step.parents[0]: expected int >= -1": lambda step: step.update(parents=[-2, 0]),
    "step.without: expected array": lambda step: step.update(without=None),
    "step.expected: expected float >= 0": lambda step: step.update(expected=math.nan),
    "step.rows[0]: expected object": lambda step: step["rows"].__setitem__(0, []),
    "step.rows[0].target[0]: expected float, got str": lambda step: step["rows"][0].update(target=["1", 0.5]),
    "step.rows[0].target[0]: expected float >= 0": lambda step: step["rows"][0].update(target=[math.nan, 0]),
    "step.rows[0].draft[1]: expected float <=": lambda step: step["rows"][0].update(draft=[0, math.inf]),
    "step.rows[0].rest[0]: expected array of length 3": lambda step: step["rows"][0].update(rest=[[7, 0.25]]),
    "step.rows[0].rest[0][0]: expected int >= 0": lambda s: s["rows"][0].update(rest=[[-7, 0.25, 0]]),
    "as many parents as guesses": lambda step: step.update(parents=[-1]),
    "parents before their children": lambda step: step.update(parents=[1, 0]),
    "as many scores as guesses": lambda step: step.update(scores=[0.5]),
    "what could not be drawn for each guess": lambda step: step.update(without=[None]),
    "a row more than there are guesses": lambda step: step["rows"].pop(),
    "a path of guesses": lambda step: step.update(path=[2]),
    "ids within the vocabulary": lambda step: step.update(next_token=VOCAB_SIZE),
    "rows of ids within the vocabulary": lambda step: step["rows"][2].update(tokens=[1, VOCAB_SIZE]),
    "a probability for each id of a row": lambda step: step["rows"][1].update(target=[0.5]),
}
CASES: list[tuple[int, str | None, str, Any]] = [(1, None, *case) for case in HEADS.items()]
CASES += [(2, "run", *case) for case in RUNS.items()]
CASES += [(3, "step", *case) for case in STEPS.items()]


def write(path: Path) -> None:
    with TraceFile(path) as file:
        file.begin(RUN, VOCAB_SIZE)
        file.add(STEP)
        file.add(replace(STEP, position=5))


def test_a_trace_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl")
    run = replace(RUN, steps=[STEP, replace(STEP, position=5)])
    assert read_trace(tmp_path / "t.jsonl") == Trace(VOCAB_SIZE, 32, [run])


@pytest.mark.parametrize(("number", "part", "problem", "change"), CASES, ids=[case[2] for case in CASES])
def test_what_a_line_cannot_hold_is_named(
    tmp_path: Path, number: int, part: str | None, problem: str, change: Change
) -> None:
    path = tmp_path / "t.jsonl"
    write(path)
    content = [json.loads(line) for line in path.read_text().splitlines()]
    change(content[number - 1] if part is None else content[number - 1][part])
    path.write_text("".join(json.dumps(line) + "\n" for line in content))
    with pytest.raises(InputError) as refused:
        read_trace(path)
    assert refused.value.problem.startswith(f"{path}, line {number}")
    assert problem in refused.value.problem


def test_a_line_that_unpacks_without_end_is_read_no_further_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.jsonl.gz"
    write(path)
    with gzip.open(path, "rb") as file:
        head = file.readline()
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 16)
    with gzip.open(path, "wb") as file:
        file.write(head + b" " * (8 << 20))
    with pytest.raises(InputError, match="line 2: longer than 64 KiB"):
        read_trace(path)
    monkeypatch.setattr(lines, "MOST_BYTES", 1 << 20)
    with gzip.open(path, "wb") as file:
        file.write(head + b"\n" * (2 << 20))
    with pytest.raises(InputError, match="holds more than 1 MiB"):
        read_trace(path)
