"""The walk from the root down that judges one level of siblings after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from specdec_cli.sampling.randomness import Randomness, accepting, emitting
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict, proposal_of


class Coins(NamedTuple):
    """Chance for the siblings of one level.

    Attributes:
        randomness: where it comes from.
        position: of the siblings in the text.
        start: position at which the step began.
    """

    randomness: Randomness
    position: int
    start: int

    def accepts(self, probability: float, sibling: int) -> bool:
        """Whether the `sibling`-th guess is accepted."""
        return self.randomness.bernoulli(probability, accepting(self.position, self.start, sibling))


class LevelRule(Protocol):
    """Judges the guesses for one position."""

    def __call__(
        self, tokens: Sequence[int], proposals: Sequence[Tensor], target: Tensor, coins: Coins
    ) -> int | Tensor:
        """Which of the guesses is accepted; or, if none is, the distribution (V,) to draw from instead.

        Each token was drawn from its proposal given the tokens before it. The token accepted or drawn must
        be distributed as the target says.
        """
        ...


def walk_down(
    tree: TokenTree, target: Rows, randomness: Randomness, position: int, rule: LevelRule
) -> Verdict:
    """Follow what the rule accepts; where it accepts nothing, or the tree ends, draw the last token.

    Only the levels along the accepted path are looked at.
    """
    children = tree.children()
    path: list[int] = []
    node = ROOT
    while True:
        here = position + len(path)
        law, siblings = target[node + 1], children[node + 1]
        judged: int | Tensor = law
        if siblings:
            tokens = [tree.tokens[child] for child in siblings]
            proposals = [proposal_of(tree, child, law) for child in siblings]
            judged = rule(tokens, proposals, law, Coins(randomness, here, position))
        if not isinstance(judged, int):
            return Verdict(tuple(path), randomness.categorical(judged, emitting(here)))
        node = siblings[judged]
        path.append(node)
