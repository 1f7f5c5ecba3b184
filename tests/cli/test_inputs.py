"""The prompt of `specdec generate`: from the flag or from standard input, as text of the right encoding."""

import io
import os

import pytest
from generating import PROMPT, record, refused
from program import Program

pytestmark = pytest.mark.usefixtures("own_cache")


def typed(given: bytes, errors: str = "strict") -> io.TextIOWrapper:
    """A standard input."""
    return io.TextIOWrapper(io.BytesIO(given), encoding="utf-8", errors=errors)


def test_the_prompt_is_read_from_standard_input(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode()))
    assert record(generate("-p", "-", "--json"))["prompt"] == PROMPT
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode()))
    assert generate("-p", "-").out == generate().out


def test_a_byte_order_mark_is_no_part_of_the_prompt(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode("utf-8-sig")))
    assert record(generate("-p", "-", "--json"))["prompt"] == PROMPT
    assert record(generate("-p", f"\ufeff{PROMPT}", "--json"))["prompt"] == PROMPT
    monkeypatch.setattr("sys.stdin", typed(b"\xef\xbb\xbf\n"))
    assert refused(generate("-p", "-"), 2) == "The prompt is empty."


def test_line_ends_of_standard_input_are_line_feeds(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", typed(b"one\r\ntwo\rthree\n"))
    assert record(generate("-p", "-", "--json"))["prompt"] == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-16", "The prompt is UTF-16 text."),
        ("utf-16-be", "The prompt has NUL characters, as UTF-16 text has."),
        ("utf-16-le", "The prompt has NUL characters, as UTF-16 text has."),
    ],
)
def test_a_prompt_in_utf_16_is_refused(
    generate: Program, monkeypatch: pytest.MonkeyPatch, encoding: str, problem: str
) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode(encoding)))
    assert refused(generate("-p", "-"), 2) == problem


def test_an_empty_standard_input_is_no_prompt(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", typed(b" \n"))
    assert refused(generate("-p", "-"), 2) == "The prompt is empty."


def test_a_prompt_that_is_not_utf8_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    given = b"caf\xe9"
    assert refused(generate("-p", os.fsdecode(given)), 2) == "The prompt is not UTF-8 text."
    for how in ("strict", "surrogateescape"):
        monkeypatch.setattr("sys.stdin", typed(given, how))
        assert refused(generate("-p", "-"), 2) == "The prompt is not UTF-8 text."


def test_a_closed_standard_input_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert refused(generate("-p", "-"), 2) == "Standard input is closed."
    assert generate().code == 0


def test_no_prompt_is_refused(specdec: Program) -> None:
    assert refused(specdec("generate"), 2) == "There is no prompt."


@pytest.mark.parametrize("prompt", ["[bold]x[/bold] [/]", "語 😀 é", ":smile: \\[a]", "{{ a }}"])
def test_no_prompt_is_read_as_markup(generate: Program, prompt: str) -> None:
    for arguments in (["-m", "chat"], ["-m", "target"]):
        made = record(generate("-p", prompt, *arguments, "-d", "layers:1", "--json"))
        assert made["prompt"] == prompt
