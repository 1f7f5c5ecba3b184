"""Tokens to text as they come: no character is split, no stop string shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

UNFINISHED = "\ufffd"


class Detokenizer:
    """Turns tokens into text one at a time; what it returns, joined, is the decoding of all of them.

    A token may end inside a character, or change how the one before it is written. So each call decodes the
    few tokens since the last whole piece of text and returns only what is new and complete.

    Args:
        decode: ids to text.
        before: tokens that the text follows on; some tokenizers drop the space of a text's first word.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._context: list[int] = list(before)
        self._fresh: list[int] = []

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        self._fresh.append(token)
        text = self._new_text()
        if text.endswith(UNFINISHED):
            return ""
        if text:
            self._context, self._fresh = self._fresh, []
        return text

    def finish(self) -> str:
        """What is left: a character that was never completed, as the replacement character."""
        text = self._new_text()
        self._context, self._fresh = [], []
        return text

    def _new_text(self) -> str:
        before = self._decode(self._context)
        return self._decode([*self._context, *self._fresh])[len(before) :]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text, whether the token that completed it had been guessed, and by which of several models."""

    text: str
    drafted: bool
    owner: int | None = None


class TextStream:
    """Pieces of text to show, held back while they may be the beginning of a stop string.

    Args:
        decode: ids to text.
        stop_strings: the text ends before the first of these.
        before: tokens that the text follows on without a break.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stop_strings: Sequence[str] = (),
        before: Sequence[int] = (),
    ) -> None:
        self._detokenizer = Detokenizer(decode, before)
        self._stop_strings = tuple(stop_strings)
        self._held: list[Piece] = []
        self._ended = False

    def push(self, token: int, drafted: bool, owner: int | None = None) -> list[Piece]:
        """The pieces that can be shown after this token."""
        return self._add(Piece(self._detokenizer.push(token), drafted, owner))

    def finish(self) -> list[Piece]:
        """The pieces still held; call once, when no token follows."""
        released = self._add(Piece(self._detokenizer.finish(), drafted=False))
        released += self._held
        self._held, self._ended = [], True
        return released

    def _add(self, piece: Piece) -> list[Piece]:
        if self._ended or not piece.text:
            return []
        self._held.append(piece)
        text = "".join(held.text for held in self._held)
        found = [text.index(stop) for stop in self._stop_strings if stop in text]
        if found:
            self._ended = True
            released, self._held = _split(self._held, min(found))[0], []
            return released
        released, self._held = _split(self._held, len(text) - self._possible_stop(text))
        return released

    def _possible_stop(self, text: str) -> int:
        """Length of the longest end of the text that begins a stop string."""
        return max(
            (
                size
                for stop in self._stop_strings
                for size in range(1, len(stop))
                if text.endswith(stop[:size])
            ),
            default=0,
        )


def _split(pieces: Sequence[Piece], at: int) -> tuple[list[Piece], list[Piece]]:
    """Split pieces after `at` characters."""
    before: list[Piece] = []
    after: list[Piece] = []
    for piece in pieces:
        head, tail = piece.text[: max(at, 0)], piece.text[max(at, 0) :]
        at -= len(piece.text)
        before += [Piece(head, piece.drafted, piece.owner)] if head else []
        after += [Piece(tail, piece.drafted, piece.owner)] if tail else []
    return before, after
