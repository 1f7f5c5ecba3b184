"""Where output goes, and that text of the user's stays as it is."""

import json

import pytest

from specdec_cli.errors import InputError
from specdec_cli.reporting.console import (
    err,
    out,
    print_json,
    progress_lines_enabled,
    report_error,
    report_warning,
    status,
)

Captured = pytest.CaptureFixture[str]
HOSTILE = "[red]a[/red] :smile: [/] " + "word " * 60


def test_results_go_to_stdout_and_the_rest_to_stderr(capsys: Captured) -> None:
    out().print("result")
    err().print("rest")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "rest\n")


def test_errors_and_warnings_stay_on_their_lines_as_written(capsys: Captured) -> None:
    report_error(InputError(HOSTILE, "Hint\nin two lines."))
    report_warning(HOSTILE)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"Error: {HOSTILE}\nHint:  Hint in two lines.\nWarning: {HOSTILE}\n"


def test_json_survives_a_narrow_window(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_json({"text": HOSTILE, "中": ["\x1b[31m", 1.5, None]})
    assert json.loads(capsys.readouterr().out) == {"text": HOSTILE, "中": ["\x1b[31m", 1.5, None]}


def test_progress_is_silent_where_stderr_is_no_terminal(capsys: Captured) -> None:
    assert not progress_lines_enabled(quiet=False)
    with status("Loading") as activity:
        activity.update("[red]Still loading")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    ("quiet", "ci", "shown"), [(False, "", True), (True, "", False), (False, "1", False)]
)
def test_progress_on_a_terminal_minds_quiet_and_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, quiet: bool, ci: str, shown: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert progress_lines_enabled(quiet) is shown
    with status("Loading [x]", quiet) as activity:
        activity.update("Fetching [y]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("Fetching [y]" in captured.err) is shown
