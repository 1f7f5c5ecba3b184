"""Files that are none, or hold something else, are told apart in one line, with exit code 2."""

import os
from pathlib import Path

import pytest
from program import Program


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        (".", "is a folder, not a file"),
        ("pipe", "is a pipe, not a file"),
        ("~nobody-at-all/log.jsonl", "is not known"),
        ("none.jsonl", "There is no file"),
        ("x" * 300, "cannot be read"),
    ],
)
def test_what_is_no_file_is_told_apart(
    specdec: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    run = specdec(command, *[name] * (2 if command == "compare" else 1))
    assert (run.code, run.out) == (2, "")
    assert says in " ".join(run.err.split())


NOBODY = "~nobody-at-all/x"
PATHS = [
    ("generate", "-p", "x", "--target", NOBODY),
    ("generate", "-p", "x", "--target", f"{NOBODY}.gguf"),
    ("generate", "-p", "x", "--preset", f"{NOBODY}.yaml"),
    ("generate", "-p", "x", "--method", "sequoia", "--tree", f"{NOBODY}.json"),
    ("ensemble", "-p", "x", "--models", f"{NOBODY},{NOBODY}"),
    ("bench", "--dataset", f"{NOBODY}.jsonl", "--zero"),
    ("models", "pull", NOBODY),
    ("models", "check", NOBODY, NOBODY),
    ("presets", "show", f"{NOBODY}.yaml"),
    ("replay", f"{NOBODY}.jsonl"),
    ("report", f"{NOBODY}.jsonl"),
    ("compare", NOBODY, NOBODY),
]


@pytest.mark.parametrize("arguments", PATHS, ids=[" ".join(each)[:40] for each in PATHS])
def test_the_home_folder_of_nobody_is_told(specdec: Program, arguments: tuple[str, ...]) -> None:
    run = specdec(*arguments)
    assert (run.code, run.out) == (2, ""), run.err
    assert run.err.startswith("Error: ")
    assert "~nobody-at-all" in run.err


NUMBERS = [
    ("bench", "--zero", "--n-tests"),
    ("bench", "--zero", "--start"),
    ("offload-bench", "--n-tests"),
    ("audit", "--samples"),
    ("evaluate", "none.json", "--code-memory"),
    ("evaluate", "none.json", "--code-seconds"),
    ("distill", "-o", "none", "--tokens"),
    ("distill", "-o", "none", "--texts"),
    ("distill", "-o", "none", "--length"),
    ("distill", "-o", "none", "--layers"),
    ("distill", "-o", "none", "--epochs"),
    ("distill", "-o", "none", "--batch"),
    ("demo", "--rounds"),
    ("inspect", "-p", "x", "--steps"),
    ("replay", "none.jsonl", "--draws"),
    ("trees", "plan", "--n-tests"),
    ("generate", "-p", "x", "--max-tokens"),
    ("generate", "-p", "x", "--ngram-size"),
    ("bench", "--max-budget"),
    ("bench", "--methods", "sps", "--gamma"),
    ("generate", "-p", "x", "--offload", "disk", "--memory-limit"),
]


@pytest.mark.parametrize("value", [str(10**18), str(10**30), "9" * 5000, "1e400", "inf", "nan", "-1"])
@pytest.mark.parametrize("arguments", NUMBERS, ids=[" ".join(each) for each in NUMBERS])
def test_a_number_that_no_machine_holds_is_refused_at_once(
    specdec: Program, arguments: tuple[str, ...], value: str
) -> None:
    run = specdec(*arguments[:-1], f"{arguments[-1]}={value}")
    assert (run.code, run.out) == (2, ""), run.err
    assert run.err.startswith("Error: ")
    assert "--debug" not in run.err


def test_a_sweep_of_more_configurations_than_are_run_is_refused(specdec: Program) -> None:
    run = specdec("bench", "--max-budget", "1-2000", "--gamma", "1-2000", "--methods", "sps,specexec")
    assert (run.code, "At most 2,048 are run together" in run.err) == (2, True)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [(MemoryError(), 4, "memory"), (RecursionError("deep"), 2, "nested too deeply")],
)
def test_what_python_runs_out_of_is_told(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("specdec_cli.cli.presets.list_presets", fail)
    run = specdec("presets", "list")
    assert (run.code, run.out) == (code, "")
    assert says in run.err
    assert "--debug" not in run.err


def test_half_a_character_is_no_prompt(specdec: Program, tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"prompt": "\\ud800"}')
    run = specdec("bench", "--zero", "--dataset", str(tmp_path / "half.jsonl"), "--n-tests", "1")
    assert (run.code, "line 1: half of a character" in run.err) == (2, True), run.err
