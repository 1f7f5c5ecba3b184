"""Independent samples of the draft: siblings may be duplicates.

Miao et al. (2023), SpecInfer, https://arxiv.org/abs/2305.09781, and Sun et al. (2023), SpecTr,
https://arxiv.org/abs/2310.15141, draw their guesses so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specdec_cli.drafting.policies.base import Children, Draws


def propose(draft: Tensor, count: int, draws: Draws) -> Children:
    """`count` draws from the same distribution."""
    tokens = torch.stack([draws(draft, sibling) for sibling in range(count)], dim=-1)
    return Children(tokens, torch.ones_like(tokens, dtype=torch.bool), [draft] * count)
