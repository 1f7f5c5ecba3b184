"""Samples of the draft without replacement: siblings differ.

Chen et al. (2024), Sequoia, https://arxiv.org/abs/2402.12374; Jeon et al. (2024), recursive speculative
decoding, https://arxiv.org/abs/2402.14160.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specdec_cli.drafting.policies.base import Children, Draws, without


def propose(draft: Tensor, count: int, draws: Draws) -> Children:
    """Each child is drawn from what its elder siblings left; where nothing is left there is no child."""
    tokens: list[Tensor] = []
    proposals: list[Tensor] = []
    remaining = draft
    for sibling in range(count):
        proposals.append(remaining)
        tokens.append(draws(remaining, sibling))
        remaining = without(remaining, tokens[-1])
    exists = torch.stack([proposal.sum(-1) > 0 for proposal in proposals], dim=-1)
    return Children(torch.stack(tokens, dim=-1), exists, proposals)
