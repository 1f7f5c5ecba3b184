"""What a drafter is, and what it needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree


class Drafter(Protocol):
    """Guesses what the target will say next."""

    @property
    def forward_seconds(self) -> float:
        """Seconds spent in a model's forward pass so far, prefill included."""
        ...

    def begin(self, prompt: Sequence[int]) -> None:
        """Start a new text."""
        ...

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        """Guess at most `depth` levels, the first of which stands at `position`; nothing is a fine guess.

        Raises:
            NotFiniteError: the draft model gives no distribution.
        """
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Learn what became of the last proposal: the nodes that survived and all the tokens emitted."""
        ...


class DraftModel(Protocol):
    """A language model that scores a growing tree, as `models.runner.Runner` does."""

    @property
    def forward_seconds(self) -> float:
        """Seconds spent in forward passes so far."""
        ...

    @property
    def free_positions(self) -> int:
        """Positions left in the context after the committed tokens."""
        ...

    @property
    def vocabulary(self) -> Tensor | None:
        """(R,) the ids, ascending, that its logits stand for; None where logit i stands for id i."""
        ...

    def begin(self, tokens: Sequence[int]) -> None:
        """Start a new text and read all of it but the last token."""
        ...

    def root(self) -> Tensor:
        """Forget uncommitted nodes, read pending tokens: logits that follow the text, (R,)."""
        ...

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Add nodes to the tree, numbered on from those of earlier calls since `root`: logits (n, R)."""
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append `tokens` to the text; `path` are the nodes whose computed rows are its first ones."""
        ...
