"""Token-wise rejection sampling, from the root down.

Leviathan, Kalman & Matias (2023), https://arxiv.org/abs/2211.17192, algorithm 1, and Chen et al. (2023),
https://arxiv.org/abs/2302.01318, for one guess a position; with several siblings, recursive rejection
(Miao et al. 2023, SpecInfer, https://arxiv.org/abs/2305.09781; without replacement Chen et al. 2024, Sequoia,
https://arxiv.org/abs/2402.12374). With hub proposals it is SpecHub's rule (`drafting/policies/hub.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from specdec_cli.sampling.distribution import residual
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Rows, Verdict
from specdec_cli.verification.walk import Coins, walk_down


def reject_by_token(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Offer each level's siblings in order; at the first level that accepts none, draw from what is left.

    Exact if each node's token was drawn from its proposal given its elder siblings.
    """
    return walk_down(tree, target, randomness, position, recursive_rejection)


def recursive_rejection(
    tokens: Sequence[int], proposals: Sequence[Tensor], target: Tensor, coins: Coins
) -> int | Tensor:
    """Accept a guess by its ratio to its proposal; one that is rejected takes its proposal off the target.

    That holds for duplicates too: the second is sure to be rejected, and what is left moves on all the same.
    """
    remaining = target
    for sibling, (token, proposal) in enumerate(zip(tokens, proposals, strict=True)):
        if coins.accepts(float(remaining[token]) / float(proposal[token]), sibling):
            return sibling
        remaining = residual(remaining, proposal)
    return remaining
