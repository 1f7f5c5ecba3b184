"""The likeliest tokens, and one sample of the rest.

Sun et al. (2024), SpecHub, https://arxiv.org/abs/2411.05289, draws ordered pairs of which one is the hub, the
draft's likeliest token. As a set a pair is the hub and one sample of the other tokens, and nothing but the
set matters. So the sample comes first, by ordinary rejection, then the hubs, which are certain guesses. That
attains the most that these guesses allow, and holds for any number of hubs (Hu et al. 2025,
https://arxiv.org/abs/2502.18779).
"""

from __future__ import annotations

import torch
from torch import Tensor

from specdec_cli.drafting.policies.base import Children, Draws, without


def propose(draft: Tensor, count: int, draws: Draws) -> Children:
    """One sample of what is not a hub, then the `count` - 1 likeliest tokens that have any chance."""
    likeliest = draft.topk(min(count - 1, draft.shape[-1]), dim=-1)
    rest = without(draft, likeliest.indices)
    tokens = torch.cat((draws(rest, 0)[:, None], likeliest.indices), dim=-1)
    exists = torch.cat(((rest.sum(-1) > 0)[:, None], likeliest.values > 0), dim=-1)
    return Children(tokens, exists, [rest, *[None] * likeliest.indices.shape[-1]])
