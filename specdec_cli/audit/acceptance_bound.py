"""How many levels of guesses a verifier accepted, and how many it could have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specdec_cli.engine.observation import VerifierView
from specdec_cli.verification import optimal_transport


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
    is_one_law = all(bool((each == drawn[0]).all()) for each in drawn)
    scheme = optimal_transport.with_replacement if is_one_law else optimal_transport.without_replacement
    return scheme(target, drawn[0], len(tokens))


class AcceptanceCounter:
    """Counts over the steps of a run, by what their verifier was shown.

    Attributes:
        levels: levels with guesses that the verdicts' paths came by, the one that ended them included.
        accepted: of them, how many had a guess accepted.
        possible: the sum of `best_acceptance` over them; None once a level had none.

    Where levels are judged by what stands below them (traversal, block), a single level may be accepted more
    often than `best_acceptance` allows, so only walks from the root down are to be compared with it.
    """

    def __init__(self) -> None:
        self.levels = 0
        self.accepted = 0
        self.possible: float | None = 0.0

    def add(self, view: VerifierView) -> None:
        """Count the levels of one step."""
        tree = view.tree
        for level in view.judged():
            tokens = [tree.tokens[node] for node in level.guesses]
            proposals = [tree.proposals[node] if tree.proposals else None for node in level.guesses]
            best = best_acceptance(view.rows[level.row], tokens, proposals)
            self.possible = None if best is None or self.possible is None else self.possible + best
            self.levels += 1
            self.accepted += level.accepted
