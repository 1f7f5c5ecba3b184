"""The likeliest tokens, without chance.

Li et al. (2024), EAGLE-2, https://arxiv.org/abs/2406.16858; Wang et al. (2024), OPT-Tree,
https://arxiv.org/abs/2406.17276.
"""

from __future__ import annotations

from torch import Tensor

from specdec_cli.drafting.policies.base import Children, Draws


def propose(draft: Tensor, count: int, draws: Draws) -> Children:
    """The `count` likeliest tokens that the draft gives any chance."""
    likeliest = draft.topk(min(count, draft.shape[-1]), dim=-1)
    return Children(likeliest.indices, likeliest.values > 0, [None] * likeliest.indices.shape[-1])
