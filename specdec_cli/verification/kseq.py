"""K-SEQ: one threshold for all independent guesses of a position.

Sun et al. (2023), SpecTr, https://arxiv.org/abs/2310.15141: its k-sequential selection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Rows, Verdict
from specdec_cli.verification.walk import Coins, walk_down

HALVINGS = 16  # of the interval that holds the threshold; its upper end is exact whatever their number


def verify_kseq(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Accept, at each level, the first sibling that passes the threshold.

    Exact if siblings are independent draws from one distribution.
    """
    return walk_down(tree, target, randomness, position, threshold_selection)


def threshold_selection(
    tokens: Sequence[int], proposals: Sequence[Tensor], target: Tensor, coins: Coins
) -> int | Tensor:
    """Accept a guess with probability target / (rho * draft), the same for every sibling.

    rho is the least number for which what the guesses take never exceeds what the target has; any greater
    one up to the number of guesses is exact too, so the search keeps the upper end.
    """
    draft, count = proposals[0], len(tokens)
    rho = _threshold(target, draft, count)
    for sibling, token in enumerate(tokens):
        if coins.accepts(float(target[token]) / (rho * float(draft[token])), sibling):
            return tokens.index(token)  # of duplicates the first has the branch
    covered = torch.minimum(draft, target / rho)
    accepted = float(covered.sum())
    share = (1 - (1 - accepted) ** count) / accepted if accepted > 0 else 0.0
    left = (target - share * covered).clamp_(min=0)
    return left if float(left.sum()) > 0 else target


def _threshold(target: Tensor, draft: Tensor, count: int) -> float:
    """The least rho in [1, count] with 1 - (1 - b)^count <= rho * b, where b = sum min(draft, target / rho).

    All on the tensors' device: one number comes back at the end.
    """
    low, high = target.new_ones(()), target.new_full((), float(count))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        beta = torch.minimum(draft, target / middle).sum()
        enough = 1 - (1 - beta) ** count <= middle * beta
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return float(high)
