"""Traversal verification: judge a tree from its leaves up, which keeps no less than from the root down.

Weng et al. (2025), Traversal Verification, https://arxiv.org/abs/2505.12398. On a chain it is block
verification (`block.py`). It takes any proposals, hubs too.
"""

from __future__ import annotations

from specdec_cli.sampling.distribution import excess
from specdec_cli.sampling.randomness import Randomness, accepting, emitting
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict, capped_ratio, proposal_of


def verify_traversal(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Keep the first path that survives, looking at each node's children before the node itself.

    A node is reached with the capped ratio of target to draft along its path. Each child whose whole branch
    fails takes its proposal off the scaled target, and the ratio moves with the mass that is left; what then
    remains decides whether the node itself is kept, and draws the token that follows it. The root is kept
    for certain.
    """
    verdict = _Traversal(tree, target, randomness, position).visit(ROOT, (), 1.0)
    assert verdict is not None, "the root's ratio is 1 whatever its children took"
    return verdict


class _Traversal:
    """One walk over one tree."""

    def __init__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> None:
        self.tree = tree
        self.target = target
        self.randomness = randomness
        self.position = position
        self.children = tree.children()

    def visit(self, node: int, path: tuple[int, ...], ratio: float) -> Verdict | None:
        """The verdict, if it is found at the node or below; None if the node is rejected."""
        if ratio <= 0 and node != ROOT:
            return None
        remaining = self.target[node + 1]
        for child in self.children[node + 1]:
            token, proposal = self.tree.tokens[child], proposal_of(self.tree, child, remaining)
            below = capped_ratio(ratio, float(remaining[token]), float(proposal[token]))
            found = self.visit(child, (*path, child), below)
            if found is not None:
                return found
            remaining, mass = excess(remaining, proposal, ratio)
            ratio = 1.0 if mass + (1 - ratio) == 0 else mass / (mass + (1 - ratio))
        if node != ROOT and not self._keeps(node, len(path), ratio):
            return None
        following = self.randomness.categorical(remaining, emitting(self.position + len(path)))
        return Verdict(path, following)

    def _keeps(self, node: int, depth: int, ratio: float) -> bool:
        return self.randomness.bernoulli(ratio, accepting(self.position + depth - 1, self.position, node))
