"""Tokens to text as they come: no character is split, no stop string shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

UNFINISHED = "\ufffd"
Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """Turns tokens into text one at a time; what it returns, joined, is the decoding of all of them.

    A token may end inside a character, or change how the one before it is written. So each call decodes the
    few tokens since the last whole piece of text and returns only what is new and complete.

    Args:
        decode: ids to text.
        before: tokens that the text follows on; some tokenizers drop the space of a text's first word.
        names: of tokens that `decode` leaves out and that are to be text here, by id.
    """

    def __init__(
        self, decode: Decode, before: Sequence[int] = (), names: Mapping[int, str] | None = None
    ) -> None:
        self._decode = decode
        self._names = names or {}
        self._context: list[int] = list(before)
        self._fresh: list[int] = []

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        if token in self._names:
            return self.finish() + self._names[token]
        self._fresh.append(token)
        text = self._new_text()
        if text.endswith(UNFINISHED):
            return ""
        if text:
            self._context, self._fresh = self._fresh, []
        return text

    @property
    def unfinished(self) -> str:
        """What stands before a character that is unfinished, and waits for it."""
        return self._new_text().rstrip(UNFINISHED) if self._fresh else ""

    def finish(self) -> str:
        """What is left: a character that was never completed, as the replacement character."""
        text = self._new_text()
        if self._fresh:
            self._context, self._fresh = self._fresh, []
        return text

    def _new_text(self) -> str:
        before = self._decode(self._context)
        return self._decode([*self._context, *self._fresh])[len(before) :]


@dataclass(frozen=True, slots=True)
class Stops:
    """What ends a text, apart from its length.

    Attributes:
        tokens: ids that end it.
        strings: that end it; one may begin in the prompt, but ends in what follows.
        names: special tokens by id, which are part of the text that the strings are looked for in.
        before: the prompt, as much of its end as matters.
    """

    tokens: frozenset[int] = frozenset()
    strings: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    before: tuple[int, ...] = ()

    @property
    def longest(self) -> int:
        """Characters of the longest string."""
        return max(map(len, self.strings), default=0)

    def detokenizer(self, decode: Decode) -> Detokenizer:
        """What gives the text that the strings are looked for in."""
        return Detokenizer(decode, self.before, self.names)

    def opening(self, decode: Decode) -> str:
        """The end of the prompt, as far as a string may begin in it."""
        stream = Detokenizer(decode, names=self.names)
        text = "".join(map(stream.push, self.before)) + stream.finish()
        return text[max(len(text) - self.longest + 1, 0) :]

    def find(self, text: str, seen: int) -> int | None:
        """Where the first string begins that ends after `seen` characters of the text; None for none."""
        found = [text.find(stop, max(seen - len(stop) + 1, 0)) for stop in self.strings]
        return min((start for start in found if start >= 0), default=None)

    def begun(self, text: str) -> int:
        """Length of the longest end of the text that begins a string."""
        return max(
            (
                size
                for stop in self.strings
                for size in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:size])
            ),
            default=0,
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text, whether the token that completed it had been guessed, and by which of several models."""

    text: str
    drafted: bool
    owner: int | None = None


Held = tuple[str, Piece]  # text that stop strings are looked for in, and what of it is shown: an end of it


class TextStream:
    """Pieces of text to show, held back while they may be the beginning of a stop string.

    Args:
        decode: ids to text.
        stops: the text ends before the first of their strings.
        before: tokens that the text follows on without a break.
    """

    def __init__(self, decode: Decode, stops: Stops | None = None, before: Sequence[int] = ()) -> None:
        self._stops = stops or Stops()
        self._shown = Detokenizer(decode, before)
        self._whole = self._stops.detokenizer(decode) if self._stops.strings else None
        opening = self._stops.opening(decode) if self._stops.strings else ""
        self._held: list[Held] = [(opening, Piece("", drafted=False))]
        self._ended = False

    def push(self, token: int, drafted: bool, owner: int | None = None) -> list[Piece]:
        """The pieces that can be shown after this token."""
        if self._ended:
            return []
        piece = Piece(self._shown.push(token), drafted, owner)
        if self._whole is None:
            return [piece] if piece.text else []
        waiting = self._whole.push(token), piece
        return self._add(waiting, (self._whole.unfinished, Piece(self._shown.unfinished, drafted, owner)))

    def finish(self) -> list[Piece]:
        """The pieces still held; call once, when no token follows."""
        if self._ended:
            return []
        rest = Piece(self._shown.finish(), drafted=False)
        released = self._add(("" if self._whole is None else self._whole.finish(), rest))
        released += _shown(self._held)
        self._held, self._ended = [], True
        return released

    def _add(self, fresh: Held, unfinished: Held = ("", Piece("", drafted=False))) -> list[Piece]:
        """Take in what is complete, and what waits for the rest of a character; the pieces to show."""
        seen = sum(len(text) for text, _ in self._held)
        self._held.append(fresh)
        text = "".join(text for text, _ in (*self._held, unfinished))
        found = self._stops.find(text, seen)
        if found is not None:
            self._ended = True
            released, self._held = split([*self._held, unfinished], found)[0], []
            return _shown(released)
        at = min(len(text) - self._stops.begun(text), len(text) - len(unfinished[0]))
        released, self._held = split(self._held, at)
        return _shown(released)


def split(held: Sequence[Held], at: int) -> tuple[list[Held], list[Held]]:
    """Split text after `at` characters of what stop strings are looked for in."""
    before: list[Held] = []
    after: list[Held] = []
    for text, piece in held:
        head, tail = text[: max(at, 0)], text[max(at, 0) :]
        at -= len(text)
        kept = len(piece.text) - min(len(tail), len(piece.text))
        before.append((head, Piece(piece.text[:kept], piece.drafted, piece.owner)))
        after += [(tail, Piece(piece.text[kept:], piece.drafted, piece.owner))] if tail else []
    return before, after


def _shown(held: Sequence[Held]) -> list[Piece]:
    return [piece for _, piece in held if piece.text]
