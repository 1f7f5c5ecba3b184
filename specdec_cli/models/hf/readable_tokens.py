"""Which tokens a model can read: those that its embedding has a row for.

A target with tokens that were added later, or padded to more logits, says what its draft has no row for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specdec_cli.errors import MismatchError


@dataclass(frozen=True, slots=True)
class ReadableTokens:
    """The tokens that a model can read.

    Attributes:
        rows: of its embedding.
        stand_in: id that is read in place of one from `rows` on; None where that is an error. For drafts
            only: what they propose may depend on anything, since verification sees what it was drawn from,
            while a target's law must not.
    """

    rows: int
    stand_in: int | None = None

    def require(self, tokens: Sequence[int]) -> None:
        """Check that each token can be read, or something in its place.

        Raises:
            MismatchError: one cannot.
        """
        worst = max(tokens, default=0)
        if self.stand_in is None and worst >= self.rows:
            problem = (
                f"The text has the token {worst:,}, and the model's embedding ends at {self.rows - 1:,}."
            )
            raise MismatchError(problem, "The tokenizer is not the model's: copy or download both again.")

    def read(self, tokens: list[int]) -> list[int]:
        """The tokens as the model reads them.

        Raises:
            MismatchError: it cannot read one of them, and nothing stands in for it.
        """
        self.require(tokens)
        if self.stand_in is None or max(tokens) < self.rows:
            return tokens
        return [token if token < self.rows else self.stand_in for token in tokens]
