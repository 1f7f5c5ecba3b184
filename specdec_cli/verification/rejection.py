"""Token-wise rejection sampling, from the root down.

Leviathan, Kalman & Matias (2023), https://arxiv.org/abs/2211.17192, algorithm 1, and Chen et al. (2023),
https://arxiv.org/abs/2302.01318, for one guess a position; with several siblings, recursive rejection
(Miao et al. 2023, SpecInfer; Chen et al. 2024, Sequoia).
"""

from __future__ import annotations

from specdec_cli.sampling.distribution import residual
from specdec_cli.sampling.randomness import Randomness, accepting, emitting
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict


def reject_by_token(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Offer each level's siblings in order; at the first level that accepts none, draw from what is left.

    Exact if each node's token was drawn from its proposal given its earlier siblings.
    """
    children = tree.children()
    path: list[int] = []
    node = ROOT
    while True:
        here = position + len(path)
        accepted, remaining = None, target[node + 1]
        for index, child in enumerate(children[node + 1]):
            token = tree.tokens[child]
            proposal = tree.proposal(child, remaining)
            ratio = float(remaining[token]) / float(proposal[token])
            if randomness.bernoulli(ratio, accepting(here, position, index)):
                accepted = child
                break
            remaining = residual(remaining, proposal)
        if accepted is None:
            return Verdict(tuple(path), randomness.categorical(remaining, emitting(here)))
        node = accepted
        path.append(node)
