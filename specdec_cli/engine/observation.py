"""What a step looked at: the tree, the target's distributions on it and the verdict, for who wants to know.

`observed` is the one way to look: it stands in for the verifier and keeps references; whatever is computed
from them is computed after the step was yielded, outside its clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
class JudgedLevel:
    """Guesses of which one could become the next token: the children of a node on the verdict's path.

    Attributes:
        depth: of the guesses in the draft, from 1.
        row: of the target's distribution that they were judged by.
        guesses: numbers of their nodes.
        accepted: whether one of them was accepted.
    """

    depth: int
    row: int
    guesses: tuple[int, ...]
    accepted: bool


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

    def judged(self) -> list[JudgedLevel]:
        """The levels with guesses that the verdict's path came by, from the root down."""
        children = self.tree.children()
        path = self.verdict.path
        return [
            JudgedLevel(depth, node + 1, tuple(children[node + 1]), accepted=depth <= len(path))
            for depth, node in enumerate((ROOT, *path), 1)
            if children[node + 1]
        ]


@dataclass(frozen=True, slots=True)
class Level:
    """A position at which something was guessed and the verdict's path came by.

    Attributes:
        position: of the token in the output, from 0.
        depth: of the guess in the draft, from 1.
        entropy: of the target's own distribution there, in bits.
        accepted: whether a guess was accepted.
    """

    position: int
    depth: int
    entropy: float
    accepted: bool


class _Observer:
    """A verifier that passes another's verdicts on and keeps a view of the last one."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._view: VerifierView | None = None

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        verdict = self._verifier(tree, target, randomness, position)
        self._view = VerifierView(position, tree, target, verdict)
        return verdict

    def last(self) -> VerifierView:
        if self._view is None:
            raise ValueError("a step was yielded for which no verifier was asked")
        return self._view


def observed(roles: Roles, decode: Callable[[Roles], Iterable[Step]]) -> Iterator[tuple[Step, VerifierView]]:
    """The steps of a run, each with what its verifier was shown and said.

    Args:
        roles: of the run.
        decode: makes its steps, with the roles that it is handed, which are these with the verifier observed.

    Raises:
        ValueError: a step came without a verdict of that verifier.
    """
    observer = _Observer(roles.verify)
    for step in decode(replace(roles, verify=observer)):
        yield step, observer.last()


def levels(view: VerifierView, step: Step, done: int) -> list[Level]:
    """The levels that a step judged and whose token it emitted.

    Args:
        view: of the step's verifier.
        step: what became of it.
        done: tokens emitted before it.
    """
    return [
        Level(done + level.depth - 1, level.depth, entropy(view.plain(level.row)), level.accepted)
        for level in view.judged()
        if level.depth <= len(step.tokens)
    ]
