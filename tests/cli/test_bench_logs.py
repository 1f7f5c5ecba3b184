"""Logs of `specdec bench`: written, gone on from, compared, reported, and refused where they are damaged."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Program

from specdec_cli.errors import CHECK_FAILED


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None]) -> None:
    in_folder_with_prompts(4)


def test_a_log_is_written_as_it_runs_and_gone_on_from(bench: Program, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "exp.jsonl"
    assert bench("--exp-name", "exp").code == 0
    whole = log.read_text().splitlines()
    assert len(whole) == 4
    log.write_text("\n".join(whole[:3]) + "\n")
    assert bench("--exp-name", "exp").code == 0
    again = log.read_text().splitlines()
    assert again[:3] == whole[:3]
    assert len(again) == 4
    refused = bench("--exp-name", "exp", "--seed", "9")
    assert refused.code == 2
    assert "other settings: seed" in refused.err


def test_a_log_of_another_number_format_is_not_gone_on_with(bench: Program, tmp_path: Path) -> None:
    """Where "auto" is another format than on the machine that began it, nothing else tells them apart."""
    log = tmp_path / "logs" / "exp.jsonl"
    assert bench("--exp-name", "exp").code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["machine"]["dtype"] for line in lines} == {"float32"}
    other = [line | {"machine": line["machine"] | {"dtype": "bfloat16"}} for line in lines]
    log.write_text("\n".join(map(json.dumps, other[:3])) + "\n")
    refused = bench("--exp-name", "exp")
    assert (refused.code, refused.out) == (2, "")
    assert "another number format than float32" in refused.err
    assert len(log.read_text().splitlines()) == 3


def test_two_logs_are_compared_and_a_slower_one_fails(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    bench("--exp-name", "before")
    before, after = tmp_path / "logs" / "before.jsonl", tmp_path / "logs" / "after.jsonl"
    records = [json.loads(line) for line in before.read_text().splitlines()]
    after.write_text(
        "\n".join(json.dumps(each | {"seconds": 2 * each["seconds"]}) for each in records) + "\n"
    )
    same = specdec("compare", str(before), str(before), "--fail-below", "0.95")
    assert same.code == 0
    assert "1.00x" in same.out
    slower = specdec("compare", str(before), str(after), "--fail-below", "0.95")
    assert slower.code == CHECK_FAILED
    assert "below 0.95" in slower.out
    assert "Surely below 0.95: " in slower.err
    assert "In one log alone" not in slower.err
    after.write_text("\n".join(map(json.dumps, records[1:])) + "\n")
    rest = specdec("compare", str(before), str(after))
    assert f"compared on the rest: {records[0]['configuration']}." in rest.err
    assert json.loads(specdec("compare", str(before), str(after), "--json").out)["failed"] is False
    assert specdec("compare", str(before), "nowhere.jsonl").code == 2
    changed = [each | {"settings": each["settings"] | {"max_tokens": 9}} for each in records]
    after.write_text("\n".join(map(json.dumps, changed)) + "\n")
    assert "other settings: max_tokens" in specdec("compare", str(before), str(after)).err
    changed = [each | {"machine": each["machine"] | {"dtype": "bfloat16"}} for each in records]
    after.write_text("\n".join(map(json.dumps, changed)) + "\n")
    told = " ".join(specdec("compare", str(before), str(after)).err.split())
    assert "were measured in float32 and bfloat16, in which texts may differ." in told


def test_no_figure_of_a_comparison_is_cut_off_on_a_narrow_screen(
    bench: Program, specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench("--method", "specexec", "--max-budget", "4, 8", "--exp-name", "log")
    monkeypatch.setenv("COLUMNS", "80")
    log = "logs/log.jsonl"
    assert specdec("compare", log, log, "--fail-below", "0.95").out.count(" ok") == 3
    detail = specdec("report", log, "--detail").out
    assert "speed-up (95%)" in detail
    assert "…" not in detail


def test_detail_comes_from_the_run_and_again_from_its_log(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    shared = ("--methods", "sps,rrsw", "--tree", "2x2", "--gamma", "3", "--ignore-eos", "--detail")
    fresh = json.loads(bench(*shared, "--exp-name", "why", "--format", "json").out)
    log = str(tmp_path / "logs" / "why.jsonl")
    again = json.loads(specdec("report", log, "--detail", "--format", "json").out)
    assert fresh["detail"] == again["detail"]
    assert fresh["rows"] == again["rows"]
    groups = [group for group in fresh["detail"] if group["configuration"] == "sps"]
    assert {group["kind"] for group in groups} == {"position", "category", "entropy", "depth"}
    accepted = {row["configuration"]: row["acceptance_rate"] for row in fresh["rows"]}
    for kind in ("position", "category", "entropy", "depth"):
        some = [group for group in groups if group["kind"] == kind]
        assert len({sum(group["levels"] for group in some)}) == 1
        drafted = sum(json.loads(line)["drafted"] for line in _lines(log) if '"sps"' in line)
        assert sum(group["accepted"] for group in some) == round((accepted["sps"] or 0) * drafted)
    table = specdec("report", log, "--detail").out
    for word in ("position in the draft", "category", "entropy", "place in the output", "of drafts"):
        assert word in table
    rows = list(csv.DictReader(io.StringIO(specdec("report", log, "--detail", "--format", "csv").out)))
    assert len(rows) == len(fresh["detail"])
    assert "by entropy" in specdec("report", log, "--detail", "--format", "markdown").out


def test_a_log_without_levels_is_still_read_and_says_what_it_lacks(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    bench("--exp-name", "old")
    log = tmp_path / "logs" / "old.jsonl"
    lines = [json.loads(line) for line in _lines(str(log))]
    old = [{name: each[name] for name in each if name not in ("levels", "baseline")} for each in lines]
    log.write_text("\n".join(map(json.dumps, old)) + "\n")
    outcome = specdec("report", str(log), "--detail")
    assert outcome.code == 0
    assert "2 runs of the log have no detail" in outcome.err
    assert "1.00x" in outcome.out


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ('{"schema_version": 1}\n{"schema_version": 1}\n', "line 1: settings is missing"),
        ('{"schema_version": 99}\n{}\n', "line 1: not a record of version 1"),
        ('{"prompt": "why?"}\n{}\n', "line 1: not a run of a benchmark"),
        ("what?\n{}\n", "line 1: not valid JSON"),
    ],
)
def test_a_log_that_cannot_be_read_is_named_and_left_as_it_was(
    specdec: Program, tmp_path: Path, content: str, problem: str
) -> None:
    log = tmp_path / "bad.jsonl"
    log.write_text(content)
    for command in (("report", str(log)), ("compare", str(log), str(log))):
        outcome = specdec(*command)
        assert (outcome.code, outcome.out) == (2, "")
        assert problem in outcome.err
    assert log.read_text() == content


def _lines(log: str) -> list[str]:
    return Path(log).read_text().splitlines()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda line: "{oops", "line 2: not valid JSON"),
        (lambda line: line.replace('version": 1', 'version": 2'), "line 2: not a record of version"),
        (lambda line: line.replace('"passes"', '"steps"'), "line 2: passes is missing"),
    ],
)
def test_a_log_with_a_bad_line_in_the_middle_is_not_gone_on_from_and_not_lost(
    bench: Program, tmp_path: Path, spoil: Callable[[str], str], problem: str
) -> None:
    bench("--exp-name", "mine")
    log = tmp_path / "logs" / "mine.jsonl"
    lines = _lines(str(log))
    lines[1] = spoil(lines[1])
    log.write_text("\n".join(lines) + "\n")
    before = log.read_bytes()
    outcome = bench("--exp-name", "mine")
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err
    assert log.read_bytes() == before
