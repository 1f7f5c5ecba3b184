"""Another model's words in a model's own tokens, so that they read as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from specdec_cli.engine.text import UNFINISHED

JOINED = 8  # tokens before a text that can change how it is written, and more than enough
ANCHORS = ("\n", ":", "|")


class Text(Protocol):
    """What a tokenizer has to offer for this."""

    def encode_plain(self, text: str, *, split_special: bool = False) -> list[int]:
        """Ids of a piece of text."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ids."""
        ...


def continuation(tokenizer: Text, before: Sequence[int], text: str) -> list[int]:
    """Tokens that add `text`, and nothing else, to what the tokens `before` say.

    A tokenizer may put a space before whatever it is given, or take words for a special token; so each way
    to write the text is decoded after those tokens, and the first faithful one is taken. A tokenizer that
    alters what it reads (one that drops accents, say) has no faithful way, and gets the plain one.
    """
    for tokens in _ways(tokenizer, text):
        if added(tokenizer, before, tokens) == text:
            return tokens
    return tokenizer.encode_plain(text)


def tail(tokenizer: Text, tokens: Sequence[int]) -> list[int]:
    """The last tokens, from the beginning of a character on: a torn one can spoil how the others decode."""
    sizes = range(JOINED, min(2 * JOINED, len(tokens)) + 1)
    whole = (size for size in sizes if not tokenizer.decode(tokens[-size:]).startswith(UNFINISHED))
    return list(tokens[-next(whole, JOINED) :])


def added(tokenizer: Text, before: Sequence[int], tokens: Sequence[int]) -> str:
    """The text that tokens add to those before them."""
    return tokenizer.decode([*before, *tokens])[len(tokenizer.decode(before)) :]


def _ways(tokenizer: Text, text: str) -> Iterator[list[int]]:
    for split_special in (False, True):
        yield tokenizer.encode_plain(text, split_special=split_special)
        for anchor in ANCHORS:  # after it, no space is put before the text; then the anchor is taken off
            start = tokenizer.encode_plain(anchor)
            anchored = tokenizer.encode_plain(anchor + text, split_special=split_special)
            if anchored[: len(start)] == start:
                yield anchored[len(start) :]
