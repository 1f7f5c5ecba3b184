"""What a run gives: its tokens, their text and what was measured, gathered from the steps."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.engine.text import Decode, Piece, Stops, TextStream

INTERRUPTED = "interrupted"


class Completion:
    """A text in the making; `add` and `finish` give the pieces that can be shown.

    Args:
        decode: ids to text.
        stops: the text ends before the first of their strings.
        before: tokens that the text follows on without a break.

    Attributes:
        tokens: ids emitted so far, the stop token included.
        owners: for an ensemble, which model proposed each; None where it is of the law of all.
        stats: what was measured so far.
        finish_reason: "stop", "length" or "interrupted"; None while it goes on.
        pieces: the text so far, by who wrote it.
    """

    def __init__(self, decode: Decode, stops: Stops | None = None, before: Sequence[int] = ()) -> None:
        self._stream = TextStream(decode, stops, before)
        self.tokens: list[int] = []
        self.owners: list[int | None] = []
        self.stats = RunStats()
        self.finish_reason: str | None = None
        self.pieces: list[Piece] = []

    @property
    def text(self) -> str:
        """The text so far, without stop string and special tokens."""
        return "".join(piece.text for piece in self.pieces)

    def add(self, step: Step) -> list[Piece]:
        """Take in a step: the pieces of text it completes."""
        self.tokens += step.tokens
        self.owners += step.owners
        self.stats.add(step)
        self.finish_reason = step.finish_reason
        owners = step.owners or (None,) * len(step.tokens)
        shown = [
            piece
            for index, (token, owner) in enumerate(zip(step.tokens, owners, strict=True))
            for piece in self._stream.push(token, index < step.accepted, owner)
        ]
        self.pieces += shown
        return shown

    def finish(self) -> list[Piece]:
        """The pieces held back so far; call once, whether the text ended by itself or was broken off."""
        self.finish_reason = self.finish_reason or INTERRUPTED
        rest = self._stream.finish()
        self.pieces += rest
        return rest
