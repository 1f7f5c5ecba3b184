"""Sample the target and follow the tree for as long as it foresaw the sample.

Svirschevski et al. (2024), SpecExec, https://arxiv.org/abs/2406.02532. The tree is only a cache of target
distributions: each emitted token is the target's own sample, so how the tree was built cannot change the
law, and with noise keyed by position the text is that of plain decoding with the same seed.
"""

from __future__ import annotations

from specdec_cli.sampling.randomness import Randomness, emitting
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verdict


def follow_own_sample(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Emit the target's own samples along the tree, and the first one that the tree did not foresee.

    Exact whatever the tree: siblings should differ in token, or the later duplicate is never reached.
    """
    children = tree.children()
    path: list[int] = []
    node = ROOT
    while True:
        token = randomness.categorical(target[node + 1], emitting(position + len(path)))
        foreseen = [child for child in children[node + 1] if tree.tokens[child] == token]
        if not foreseen:
            return Verdict(tuple(path), token)
        node = foreseen[0]
        path.append(node)
