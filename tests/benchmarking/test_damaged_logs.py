"""Whatever is wrong with a line of a log is named with the line, and is the user's to put right."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from specdec_cli.benchmarking.levels import Levels
from specdec_cli.benchmarking.records import Log, Record, read_log, settings_in
from specdec_cli.errors import InputError
from specdec_cli.settings import DEFAULTS, Settings
from specdec_cli.storage import lines

GOOD = Record(
    configuration="autoregressive", item="a", category="", order=0, prompt_tokens=5, tokens=10, passes=10,
    drafted=0, accepted=0, tree_depth=0.0, tree_size=0.0, least_score=None, draft_seconds=0.0,
    verify_seconds=0.9, overhead_seconds=0.1, seconds=1.0, prefill_seconds=0.5, first_token_seconds=0.6,
    memory_bytes=9, accepted_lengths=(0,) * 10, text_hash="x", finish_reason="length",
    levels=Levels((0, 1), (1, 1), (0.5, 2.0), (1, 0)), shares=((1, 2, 3),),
)  # fmt: skip
NEEDED = [field.name for field in fields(Record)][:22]
SETTINGS = {**DEFAULTS, "temperature": 0.7, "max_budget": 0, "later": "what a later version says"}

DAMAGE: dict[str, dict[str, Any]] = {
    "tokens: expected int, got str": {"tokens": "10"},
    "tokens: expected int, got float": {"tokens": 1.5},
    "tokens: expected int, got bool": {"tokens": True},
    "tokens: expected int, got null": {"tokens": None},
    "tokens: expected int >= 0": {"tokens": -1},
    "tokens: expected int <= 9007199254740992": {"tokens": 10**30},
    "passes: expected int, got array": {"passes": []},
    "seconds: expected float > 0": {"seconds": 0},
    "seconds: expected float <= ": {"seconds": math.inf},
    "draft_seconds: expected float >= 0": {"draft_seconds": math.nan},
    "verify_seconds: expected float >= 0": {"verify_seconds": -0.5},
    "prefill_seconds: number out of range": {"prefill_seconds": 10**400},
    "least_score: expected float": {"least_score": -math.inf},
    "accepted_lengths: expected array, got str": {"accepted_lengths": "12"},
    "accepted_lengths[1]: expected int >= 0": {"accepted_lengths": [1, -1]},
    "shares[0]: expected array of length 3": {"shares": [[1, 2]]},
    "shares[0][2]: expected int, got str": {"shares": [[1, 2, "3"]]},
    "levels: expected object | null, got array": {"levels": [1]},
    "levels: place is missing": {"levels": {"depth": []}},
    "levels.place[0]: expected int, got str": {
        "levels": {"place": ["0"], "depth": [1], "entropy": [1.0], "accepted": [1]}
    },
    "levels: columns of different lengths": {
        "levels": {"place": [], "depth": [1], "entropy": [1.0], "accepted": [1]}
    },
    "configuration: expected str, got null": {"configuration": None},
    "item: expected str, got int": {"item": 7},
    "settings: expected object, got array": {"settings": []},
    "machine: expected object | null, got str": {"machine": "mine"},
    "machine[...]: expected": {"machine": {"cores": [2]}},
    "not a record of version 1": {"schema_version": [1]},
}


def written(path: Path, settings: object = None) -> dict[str, object]:
    Log(path).add(GOOD, settings or {"gamma": 4}, {"cores": 2})  # type: ignore[arg-type]
    line: dict[str, object] = json.loads(path.read_text())
    return line


@pytest.mark.parametrize("problem", DAMAGE)
def test_a_value_that_its_column_cannot_have_is_named(tmp_path: Path, problem: str) -> None:
    path = tmp_path / "log.jsonl"
    line = written(path)
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "item": "b", **DAMAGE[problem]}) + "\n")
    for read in (read_log, Log, settings_in):
        with pytest.raises(InputError) as refused:
            read(path)
        assert refused.value.problem.startswith(f"{path}, line 2: ")
        assert problem in refused.value.problem
        assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", NEEDED)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log.jsonl"
    line = written(path)
    del line[name]
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=f"line 1: {name} is missing"):
        read_log(path)


def test_settings_in_a_log_are_read_back_in_their_own_types(tmp_path: Path) -> None:
    written(tmp_path / "log.jsonl", SETTINGS)
    assert settings_in(tmp_path / "log.jsonl") == {"autoregressive": Settings(temperature=0.7, max_budget=0)}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("temperature", -1), ("temperature", "hot"), ("stop", [1]), ("gamma", 10**30), ("method", "guess")],
)
def test_settings_that_no_run_can_have_had_are_named(tmp_path: Path, setting: str, value: object) -> None:
    written(tmp_path / "log.jsonl", {**SETTINGS, setting: value})
    with pytest.raises(InputError, match=f"the settings of autoregressive: {setting} must be"):
        settings_in(tmp_path / "log.jsonl")


def test_lines_and_files_are_read_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    size = len(json.dumps(written(path)))
    monkeypatch.setattr(lines, "LONGEST_LINE", size - 1)
    with pytest.raises(InputError, match=r"line 1: longer than [0-9]+"):
        read_log(path)
    monkeypatch.setattr(lines, "MOST_BYTES", size - 1)
    with pytest.raises(InputError, match="has more than"):
        read_log(path)
