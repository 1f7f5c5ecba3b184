"""The program as the user meets it: arguments in; exit code, stdout and stderr out."""

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
