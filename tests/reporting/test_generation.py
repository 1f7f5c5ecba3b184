"""A completion on the screen and as JSON."""

import io
import json
from dataclasses import asdict

import pytest

from specdec_cli.engine.completion import Completion
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.engine.text import Piece
from specdec_cli.reporting.generation import (
    SCHEMA_VERSION,
    completion_record,
    end_line,
    report_members,
    report_stats,
    show_pieces,
    stats_line,
)
from specdec_cli.settings import Settings

Captured = pytest.CaptureFixture[str]
PIECES = [Piece("[bold]x[/bold] [/] ", True), Piece(":smile: 語\n", False), Piece("\\[a] " + "w " * 90, True)]
PLAIN = "".join(piece.text for piece in PIECES)


def stats() -> RunStats:
    return RunStats.of(
        [
            Step((1, 2, 3), 2, 4, 4, 0.5, 0.1, 0.3, prefill_seconds=2.0),
            Step((4,), 0, 4, 4, 0.5, 0.1, 0.3, finish_reason="length"),
        ]
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, show_accepted: bool) -> str:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.delenv("NO_COLOR")
    show_pieces(PIECES, show_accepted)
    return screen.getvalue()


@pytest.mark.parametrize("show_accepted", [False, True])
def test_text_goes_to_stdout_as_it_is(capsys: Captured, show_accepted: bool) -> None:
    show_pieces(PIECES, show_accepted)
    show_pieces([], show_accepted)
    end_line()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (PLAIN + "\n", "")


def test_on_a_terminal_guessed_tokens_are_green(monkeypatch: pytest.MonkeyPatch) -> None:
    green, end = "\x1b[1;32m", "\x1b[0m"
    shown = shown_on_a_terminal(monkeypatch, show_accepted=True)
    assert shown == f"{green}{PIECES[0].text}{end}{PIECES[1].text}{green}{PIECES[2].text}{end}"


def test_on_a_terminal_too_nothing_is_coloured_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on_a_terminal(monkeypatch, show_accepted=False) == PLAIN


def test_figures_are_one_line_on_stderr(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    report_stats(stats())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "4 tokens · 4.0 tok/s · 2.00 tokens per pass · acceptance rate 25% (2/8) · 2 target passes · "
        "first token after 2.50 s\n"
    )


def test_plain_decoding_has_no_acceptance_rate() -> None:
    plain = RunStats.of([Step((1,), 0, 0, 0, 0.5, 0.0, 0.5)])
    assert (
        stats_line(plain)
        == "1 tokens · 2.0 tok/s · 1.00 tokens per pass · 1 target passes · first token after 0.50 s"
    )


def test_a_run_without_steps_has_a_line_too() -> None:
    assert stats_line(RunStats()) == "0 tokens"


def test_the_record_is_json_of_the_whole_run() -> None:
    completion = Completion(lambda tokens: "".join(chr(96 + token) for token in tokens))
    completion.add(Step((1, 2, 3), 2, 4, 4, 0.5, 0.125, 0.25, prefill_seconds=2.0))
    completion.add(Step((4,), 0, 4, 4, 0.5, 0.125, 0.25, finish_reason="length"))
    completion.finish()
    settings = Settings(stop=("x",))
    models = {"target": {"name": "tiny"}, "draft": None}
    record = completion_record("語", [7, 8], completion, settings, models, {"cores": 2}, "bitwise")
    record = json.loads(json.dumps(record))
    assert record == {
        "schema_version": SCHEMA_VERSION,
        "prompt": "語",
        "text": "abcd",
        "token_ids": [1, 2, 3, 4],
        "finish_reason": "length",
        "identical": "bitwise",
        "accepted_lengths": [2, 0],
        "stats": {
            "prompt_tokens": 2,
            "tokens": 4,
            "target_passes": 2,
            "drafted": 8,
            "accepted": 2,
            "acceptance_rate": 0.25,
            "tokens_per_pass": 2.0,
            "tokens_per_second": 4.0,
        },
        "timings": {
            "prefill_seconds": 2.0,
            "first_token_seconds": 2.5,
            "decode_seconds": 1.0,
            "draft_seconds": 0.25,
            "target_seconds": 0.5,
            "overhead_seconds": 0.25,
        },
        "settings": asdict(settings)
        | {"stop": ["x"], "models": [], "weights": [], "gammas": [], "verify_models": []},
        "models": models,
        "machine": {"cores": 2},
    }


def test_each_member_is_named_beside_its_colour(capsys: Captured) -> None:
    report_members(["small", "large"])
    assert capsys.readouterr().err == "small · large · plain: the law of all of them\n"
