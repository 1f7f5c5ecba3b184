"""What a run tells of itself reaches the logger `specdec`, and the screen only where that is asked for."""

import ast
import io
import logging
import re
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

import specdec_cli
from specdec_cli import SpeculativeDecoder
from specdec_cli.errors import InputError
from specdec_cli.progress import is_shown, log, show_log
from specdec_cli.reporting.bench import BarProgress
from specdec_cli.reporting.console import report_line, status
from specdec_cli.reporting.distill import Watch

ROOT = Path(specdec_cli.__file__).parent
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|DEBUG) (\w+): (.*)")
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def not_shown_afterwards():
    yield
    show_log("")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Which module told what."""
    return [(record.module, record.getMessage()) for record in caplog.records if record.name == "specdec"]


def shown(captured: Captured) -> list[tuple[str, ...]]:
    """Level, module and text of each line on stderr, which must all be of the log."""
    found = [LINE.fullmatch(line) for line in captured.readouterr().err.splitlines()]
    assert None not in found
    return [match.groups() for match in found if match]


def test_a_program_hears_what_loading_says_and_nothing_is_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Captured, float32: None
) -> None:
    folder = str(tiny.folder(tmp_path / "model"))
    capsys.readouterr()
    with caplog.at_level(logging.INFO, "specdec"):
        SpeculativeDecoder("ngram", folder, device="cpu", dtype="float32")
    assert f"Loading {folder}" in [text for _, text in told(caplog)]
    assert {module for module, _ in told(caplog)} <= {path.stem for path in ROOT.rglob("*.py")}
    assert capsys.readouterr().err == ""


def test_without_being_asked_the_log_shows_nothing_not_even_what_is_urgent(capsys: Captured) -> None:
    log("news")
    log("urgent", logging.ERROR)
    assert capsys.readouterr().err == ""


def test_spinners_bars_and_lines_of_news_tell_the_log_too_each_in_the_name_of_who_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "specdec"):
        with status("Loading", quiet=True) as activity:
            activity.update("Fetching")
        bar, watch = BarProgress(quiet=True), Watch(quiet=True)
        bar.begin(2)
        bar.advance("a: sps")
        bar.peer("transformers", {"threads": 1})
        watch.say("written")
    texts = ["Loading", "Fetching", "2 runs", "a: sps", "transformers: threads=1", "written"]
    assert told(caplog) == [("test_progress", text) for text in texts]


@pytest.mark.parametrize(("level", "count"), [("info", 1), ("DEBUG", 2), ("1", 1)])
def test_the_levels_are_news_and_each_single_run(capsys: Captured, level: str, count: int) -> None:
    show_log(level)
    bar = BarProgress(quiet=False)
    bar.begin(7)
    bar.advance("a: sps")
    lines = [("INFO", "test_progress", "7 runs"), ("DEBUG", "test_progress", "a: sps")]
    assert shown(capsys) == lines[:count]


def test_where_the_log_is_shown_nothing_is_said_twice_and_nothing_is_drawn_across_it(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show_log("info")
    report_line("a line")
    with status("Loading"):
        pass
    assert [text for _, _, text in shown(capsys)] == ["a line", "Loading"]


def test_the_log_is_shown_also_while_loading_silences_stderr(capsys: Captured) -> None:
    show_log("info")
    with redirect_stderr(io.StringIO()):
        log("Loading")
    assert [text for _, _, text in shown(capsys)] == ["Loading"]


def test_a_stream_that_nobody_reads_any_more_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    monkeypatch.setattr(sys, "stderr", gone)
    show_log("info")
    log("Before")
    assert "Before" in gone.getvalue()
    gone.close()
    log("Loading")
    assert gone.closed


def test_secrets_are_hidden_in_the_log(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    show_log("info")
    log("Asking with very-secret")
    assert [text for _, _, text in shown(capsys)] == ["Asking with ***"]


@pytest.mark.parametrize("off", ["", " ", "0", "false", "False"])
def test_it_is_switched_off_by_what_switches_variables_off(capsys: Captured, off: str) -> None:
    show_log("info")
    show_log(off)
    log("Loading")
    assert (is_shown(), capsys.readouterr().err) == (False, "")


def test_another_value_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="SPECDEC_LOG cannot be 'loud'") as refused:
        show_log("loud")
    assert "info or debug" in refused.value.hint


def silent_reports(source: str) -> list[str]:
    """Functions of a module whose report is, unless given, something else than the log."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            given = [*node.args.defaults, *node.args.kw_defaults]
            defaults = [*[None] * (len(arguments) - len(given)), *given]
            pairs = zip(arguments, defaults, strict=True)
            found += [
                node.name
                for argument, default in pairs
                if argument.arg == "report" and default is not None and ast.unparse(default) != "log"
            ]
    return found


def test_whatever_may_be_left_without_a_report_tells_the_log() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    assert {path: found for path, source in sources.items() if (found := silent_reports(source))} == {}
    assert silent_reports("def f(a, report=lambda _: None): ...") == ["f"]
    assert silent_reports("def f(a, *, report=silent): ...") == ["f"]
    assert silent_reports("def f(report, a=1): ...\ndef g(report=log): ...") == []
