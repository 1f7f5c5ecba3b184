"""The program as the user meets it: arguments in; exit code, stdout and stderr out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Outcome, Program

from specdec_cli.cli.app import main


@pytest.fixture
def specdec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Runs `specdec ARGUMENTS` in this process, on a 160-column screen."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["specdec", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        return Outcome(int(leaving.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def in_folder_with_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None
) -> Callable[[int], None]:
    """Goes into an empty folder with so many prompts in prompts.jsonl, and a cache of its own."""

    def enter(count: int) -> None:
        monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        prompts = [{"id": f"p{place}", "prompt": f"the cat and dog {place}"} for place in range(count)]
        (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))

    return enter
