"""Block verification: judge a chain as a whole, which keeps at least as much as judging token by token.

Sun et al. (2024), Block Verification Accelerates Speculative Decoding, https://arxiv.org/abs/2403.10444.
"""

from __future__ import annotations

from specdec_cli.sampling.distribution import residual
from specdec_cli.sampling.randomness import Randomness, accepting, emitting
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Rows, Verdict, capped_ratio, proposal_of


def verify_block(tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
    """Keep the longest prefix of a chain that the joint ratios of target to draft allow.

    With the running ratio w[0] = 1, w[i] = min(1, w[i-1] * target(x[i]) / draft(x[i])), the prefix of
    length i is kept with probability r / (r + 1 - w[i]), where r is the mass of max(w[i] * target - draft, 0)
    one position on (w[i] itself at the end); the longest prefix kept counts. The token that follows comes
    from that residual, or from the target past the end.

    Raises:
        ValueError: the tree has branches.
    """
    if not tree.is_chain:
        raise ValueError("block verification judges chains")
    length = len(tree)
    rows = [target[row] for row in range(length + 1)]
    drafts = [proposal_of(tree, node, rows[node]) for node in range(length)]
    kept, kept_ratio, ratio = 0, 1.0, 1.0
    for count in range(1, length + 1):
        token = tree.tokens[count - 1]
        ratio = capped_ratio(ratio, float(rows[count - 1][token]), float(drafts[count - 1][token]))
        keep = ratio
        if count < length:
            excess = float((ratio * rows[count] - drafts[count]).clamp_(min=0).sum())
            keep = 1.0 if excess + 1 - ratio == 0 else excess / (excess + 1 - ratio)
        if randomness.bernoulli(keep, accepting(position + count - 1, position)):
            kept, kept_ratio = count, ratio
    following = rows[kept] if kept == length else residual(rows[kept], drafts[kept], kept_ratio)
    return Verdict(tuple(range(kept)), randomness.categorical(following, emitting(position + kept)))
