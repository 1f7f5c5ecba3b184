"""A verifier that is watched: how many levels it accepted, and how many it could have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification import optimal_transport
from specdec_cli.verification.base import Rows, Verdict, Verifier


def best_acceptance(
    target: Tensor, tokens: Sequence[int], proposals: Sequence[Tensor | None]
) -> float | None:
    """The most that any lossless verifier can expect to accept of guesses drawn in this way.

    Args:
        target: the target's distribution (V,).
        tokens: the guesses, of which the certain ones count by their token, the drawn ones by their law.
        proposals: what each was drawn from; None where it was chosen without chance.

    Returns:
        None for guesses of a kind that has no formula here.
    """
    drawn = [each.to(target) for each in proposals if each is not None]
    if any(each is None for each in proposals[: len(drawn)]):
        return None  # drawn guesses come first in every scheme that is known
    if len(drawn) < len(tokens) and drawn[1:] and float(drawn[-1].max()) < 1:
        return None  # certain guesses after several draws: known where the draws used up the draft's tokens
    if not drawn or len(drawn) < len(tokens):
        certain = sum(float(target[token]) for token in tokens[len(drawn) :])
        if drawn[1:]:
            return certain + sum(float(target[token]) for token in set(tokens[: len(drawn)]))
        return certain + (float(torch.minimum(target, drawn[0]).sum()) if drawn else 0.0)
    twins = all(bool((each == drawn[0]).all()) for each in drawn)
    scheme = optimal_transport.with_replacement if twins else optimal_transport.without_replacement
    return scheme(target, drawn[0], len(tokens))


class AcceptanceCounter:
    """Passes verdicts on and keeps count.

    Attributes:
        levels: levels with guesses that the verdicts' paths came by, the one that ended them included.
        accepted: of them, how many had a guess accepted.
        possible: the sum of `best_acceptance` over them; None once a level had none.

    Where levels are judged by what stands below them (traversal, block), a single level may be accepted more
    often than `best_acceptance` allows, so only walks from the root down are to be compared with it.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.levels = 0
        self.accepted = 0
        self.possible: float | None = 0.0

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        verdict = self._verifier(tree, target, randomness, position)
        children = tree.children()
        for node in (ROOT, *verdict.path):
            siblings = children[node + 1]
            if siblings:
                tokens = [tree.tokens[child] for child in siblings]
                proposals = [tree.proposals[child] if tree.proposals else None for child in siblings]
                self.levels += 1
                best = best_acceptance(target[node + 1], tokens, proposals)
                self.possible = None if best is None or self.possible is None else self.possible + best
        self.accepted += len(verdict.path)
        return verdict
