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
        ("~nobody-at-all/log.jsonl", "cannot be read"),
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
