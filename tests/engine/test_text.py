"""Streamed text is the text: nothing split, nothing lost, no stop string shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec_cli.engine.text import Detokenizer, Stops, TextStream


def decode_bytes(tokens):
    """A tokenizer of single bytes: every character past ASCII takes several tokens."""
    return bytes(tokens).decode("utf-8", errors="replace")


texts = st.text(alphabet="ab cé語😀\n", max_size=30)


@settings(deadline=None)
@given(text=texts)
def test_no_character_is_split_and_none_is_lost(text):
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.push(token) for token in text.encode()]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.finish() == text


def test_a_character_cut_off_by_the_end_is_marked():
    detokenizer = Detokenizer(decode_bytes)
    assert [detokenizer.push(token) for token in "a語".encode()[:3]] == ["a", "", ""]
    assert detokenizer.finish() == "\ufffd"


def stream(text, stops, drafted=lambda index: False):
    shown = TextStream(decode_bytes, Stops(strings=tuple(stops)))
    pieces = []
    for index, token in enumerate(text.encode()):
        pieces.append(shown.push(token, drafted(index)))
    return pieces, shown.finish()


@settings(max_examples=300, deadline=None)
@given(text=texts, stops=st.lists(st.text(alphabet="ab cé", min_size=1, max_size=4), max_size=3))
def test_what_is_shown_ends_before_the_first_stop_string(text, stops):
    pieces, rest = stream(text, stops)
    shown = "".join(piece.text for group in [*pieces, rest] for piece in group)
    # Where two stop strings overlap, the one completed first ends the text.
    ends = [(text.index(stop) + len(stop), text.index(stop)) for stop in stops if stop in text]
    first_complete = min((end for end, _ in ends), default=None)
    expected = text if first_complete is None else text[: min(s for e, s in ends if e == first_complete)]
    assert shown == expected


def test_text_that_may_begin_a_stop_string_is_held_back_until_it_cannot():
    pieces, rest = stream("xab abc", ["abcd"])
    assert ["".join(piece.text for piece in group) for group in pieces] == ["x", "", "", "ab ", "", "", ""]
    assert "".join(piece.text for piece in rest) == "abc"


def test_pieces_keep_who_wrote_them():
    pieces, rest = stream("abcd", ["bcx"], drafted=lambda index: index % 2 == 1)
    flat = [(piece.text, piece.drafted) for group in [*pieces, rest] for piece in group]
    assert flat == [("a", False), ("b", True), ("c", False), ("d", True)]


@pytest.mark.parametrize("stops", [[], ["zz"]])
def test_an_empty_text_shows_nothing(stops):
    assert stream("", stops) == ([], [])


WORDS = ("the", "capital", "is", "Paris")


def decode_words(tokens):
    """A tokenizer of words that drops the space of a text's first one, as SentencePiece's do."""
    return "".join(f" {WORDS[token]}" for token in tokens).removeprefix(" ")


def test_a_text_that_goes_on_keeps_the_space_before_its_first_word():
    for before, expected in (([], "Paris is"), ([1, 2], " Paris is")):
        shown = TextStream(decode_words, before=before)
        pieces = [*shown.push(3, drafted=False), *shown.push(2, drafted=False), *shown.finish()]
        assert "".join(piece.text for piece in pieces) == expected
