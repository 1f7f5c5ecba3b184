"""A verifier that is watched: how many levels it accepted, and how many it could have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification import optimal_transport
from specdec_cli.verification.base import Rows, Verdict, Verifier


def best_acceptance(target: Tensor, tokens: Sequence[int], proposals: Sequence[Tensor | None]) -> float:
    """The most that any lossless verifier can expect to accept of guesses drawn in this way.

    Args:
        target: the target's distribution (V,).
        tokens: the guesses, of which the certain ones count by their token, the drawn ones by their law.
        proposals: what each was drawn from; None where it was chosen without chance. Either all are drawn
            with or without replacement, or at most the first is drawn at all.
    """
    first = proposals[0]
    certain = sum(float(target[token]) for token, each in zip(tokens, proposals, strict=True) if each is None)
    if first is None:
        return certain
    first = first.to(target)
    if len(proposals) == 1 or proposals[1] is None:
        return certain + float(torch.minimum(target, first).sum())
    twins = all(each is not None and bool((each.to(target) == first).all()) for each in proposals)
    scheme = optimal_transport.with_replacement if twins else optimal_transport.without_replacement
    return scheme(target, first, len(tokens))


class Watched:
    """Passes verdicts on and keeps count.

    Attributes:
        levels: levels with guesses that the verdicts' paths came by, the one that ended them included.
        accepted: of them, how many had a guess accepted.
        possible: the sum of `best_acceptance` over them.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.levels = 0
        self.accepted = 0
        self.possible = 0.0

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        verdict = self._verifier(tree, target, randomness, position)
        children = tree.children()
        for node in (ROOT, *verdict.path):
            siblings = children[node + 1]
            if siblings:
                tokens = [tree.tokens[child] for child in siblings]
                proposals = [tree.proposals[child] if tree.proposals else None for child in siblings]
                self.levels += 1
                self.possible += best_acceptance(target[node + 1], tokens, proposals)
        self.accepted += len(verdict.path)
        return verdict
