"""What a run gives follows from its steps: tokens, text, who wrote it, and how it ended."""

from specdec_cli.engine.completion import INTERRUPTED, Completion
from specdec_cli.engine.roles import Step
from specdec_cli.engine.text import Piece, Stops


def decode_bytes(tokens):
    return bytes(tokens).decode("utf-8", errors="replace")


def step(text, accepted, finish_reason=None):
    tokens = tuple(text if isinstance(text, bytes) else text.encode())
    return Step(tokens, accepted, 4, 4, 0.5, 0.1, 0.3, finish_reason=finish_reason)


def test_steps_add_up_to_tokens_text_and_figures():
    completion = Completion(decode_bytes)
    shown = [completion.add(step("abc", 2)), completion.add(step("de", 1, "length"))]
    assert completion.finish() == []
    assert shown == [
        [Piece("a", True), Piece("b", True), Piece("c", False)],
        [Piece("d", True), Piece("e", False)],
    ]
    assert completion.pieces == [*shown[0], *shown[1]]
    assert completion.tokens == list(b"abcde")
    assert completion.text == "abcde"
    assert completion.stats.accepted_lengths == [2, 1]
    assert completion.finish_reason == "length"


def test_a_text_broken_off_keeps_what_was_held_back():
    completion = Completion(decode_bytes, Stops(strings=("done",)))
    completion.add(step("I do", 0))
    assert completion.text == "I "
    assert completion.finish_reason is None
    assert completion.finish() == [Piece("d", False), Piece("o", False)]
    assert completion.text == "I do"
    assert completion.finish_reason == INTERRUPTED


def test_a_stop_string_is_among_the_tokens_and_not_in_the_text():
    completion = Completion(decode_bytes, Stops(strings=("done",)))
    completion.add(step("I am done", 3, "stop"))
    assert completion.finish() == []
    assert completion.tokens == list(b"I am done")
    assert completion.text == "I am "
    assert completion.finish_reason == "stop"


def test_a_character_across_two_steps_is_shown_once_it_is_whole():
    completion = Completion(decode_bytes)
    first, second = "語".encode()[:2], "語".encode()[2:]
    assert completion.add(step(first, 1)) == []
    assert completion.add(step(second, 0)) == [Piece("語", False)]
    assert completion.finish() == []


def test_a_run_broken_off_before_its_first_step_is_empty():
    completion = Completion(decode_bytes)
    assert completion.finish() == []
    assert (completion.text, completion.tokens, completion.finish_reason) == ("", [], INTERRUPTED)
