"""What a step looked at: the tree, the target's distributions on it and the verdict, for who wants to know.

An observer stands in for the verifier and keeps references; whatever is computed from them is computed after
the step was yielded, outside its clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from specdec_cli.engine.roles import Roles, Step
from specdec_cli.sampling.distribution import entropy
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict, Verifier


@runtime_checkable
class PlainRows(Protocol):
    """Rows that also know the model's own distributions, before temperature and filters."""

    def plain(self, row: int) -> Tensor:
        """The model's own distribution of the next token there: (V,)."""
        ...


@dataclass(frozen=True, slots=True)
class VerifierView:
    """What the verifier of one step was shown, and what it said.

    Attributes:
        position: of the tree's first level in the text.
        tree: what was guessed.
        rows: the target's distributions: row 0 follows the text, row `i + 1` node `i`.
        verdict: which path survived, and the token after it.
    """

    position: int
    tree: TokenTree
    rows: Rows
    verdict: Verdict

    def plain(self, row: int) -> Tensor:
        """The target's own distribution there (V,): at temperature 1 and unfiltered, where it is known."""
        return self.rows.plain(row) if isinstance(self.rows, PlainRows) else self.rows[row]


@dataclass(frozen=True, slots=True)
class Level:
    """A position at which something was guessed and the verdict's path came by.

    Attributes:
        place: of the token in the output, from 0.
        depth: of the guess in the draft, from 1.
        entropy: of the target's own distribution there, in bits.
        accepted: whether a guess was accepted.
    """

    place: int
    depth: int
    entropy: float
    accepted: bool


class Observer:
    """A verifier that passes another's verdicts on and remembers the last one.

    Attributes:
        sight: of the last step; None before the first.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.sight: VerifierView | None = None

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        verdict = self._verifier(tree, target, randomness, position)
        self.sight = VerifierView(position, tree, target, verdict)
        return verdict

    def last(self) -> VerifierView:
        """What the last step saw.

        Raises:
            ValueError: there was no step.
        """
        if self.sight is None:
            raise ValueError("no step was observed yet")
        return self.sight


def observed(roles: Roles) -> tuple[Roles, Observer]:
    """The same roles, and who watches their verifier."""
    observer = Observer(roles.verify)
    return replace(roles, verify=observer), observer


def levels(sight: VerifierView, step: Step, done: int) -> list[Level]:
    """The levels that a step judged and whose token it emitted.

    Args:
        sight: of the step.
        step: what became of it.
        done: tokens emitted before it.
    """
    children = sight.tree.children()
    nodes = (ROOT, *sight.verdict.path)[: len(step.tokens)]
    return [
        Level(
            place=done + depth,
            depth=depth + 1,
            entropy=entropy(sight.plain(node + 1)),
            accepted=depth < len(sight.verdict.path),
        )
        for depth, node in enumerate(nodes)
        if children[node + 1]
    ]
