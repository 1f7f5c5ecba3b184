"""The three roles of every method, and the record of one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from specdec_cli.drafting.base import Drafter
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Rows, Verifier


class Target(Protocol):
    """The law of the text: a language model, or several that act as one."""

    @property
    def forward_seconds(self) -> float:
        """Seconds spent in a model's forward pass so far, prefill included."""
        ...

    @property
    def reach(self) -> int:
        """Levels of guesses that one pass scores; a deeper tree is right too, but costs more."""
        ...

    def begin(self, prompt: Sequence[int]) -> None:
        """Start a new text and read all of it but the last token."""
        ...

    def score(self, tree: TokenTree) -> Rows:
        """The distributions that follow the text and each node of the tree, from one pass.

        Raises:
            NotFiniteError: now, or when a row is asked for: the model's logits give no distribution.
        """
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append `tokens` to the text: those of the surviving path and the one that follows."""
        ...


@dataclass(frozen=True, slots=True)
class Roles:
    """A method: who guesses, who scores, who decides."""

    target: Target
    drafter: Drafter
    verify: Verifier


@dataclass(frozen=True, slots=True)
class Share:
    """What one model of an ensemble had to do with a step.

    Attributes:
        calls: its passes.
        drafted: tokens that it proposed and that were judged, or dropped for what stood before them.
        accepted: of them.
    """

    calls: int = 0
    drafted: int = 0
    accepted: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(self.calls + other.calls, self.drafted + other.drafted, self.accepted + other.accepted)


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of the target and what came of it.

    Attributes:
        tokens: what was emitted: the accepted guesses, then one token of the target's.
        accepted: how many of them were guessed.
        drafted: nodes of the tree.
        depth: levels of the tree.
        seconds: wall time of the step.
        draft_seconds: of it, in the draft's forward passes.
        target_seconds: of it, in the target's.
        prefill_seconds: for the first step, the time to read the prompt before it; else 0.
        least_score: of the tree's nodes, the least cumulative log-probability that the drafter ranked it by;
            None where it ranks none.
        finish_reason: why the text ends here ("stop" or "length"); None where it goes on.
        owners: for an ensemble, which model proposed each token; None where it is of the law of all.
        shares: for an ensemble, what each model had to do with the step.
    """

    tokens: tuple[int, ...]
    accepted: int
    drafted: int
    depth: int
    seconds: float
    draft_seconds: float
    target_seconds: float
    prefill_seconds: float = 0.0
    least_score: float | None = None
    finish_reason: str | None = None
    owners: tuple[int | None, ...] = ()
    shares: tuple[Share, ...] = ()
