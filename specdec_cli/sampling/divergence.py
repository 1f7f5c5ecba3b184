"""How far a draft's distribution is from the target's: what training lowers, and what is measured of it."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Minus the target's mean of the draft's log-probabilities: KL plus the target's entropy.

    Args:
        target: (n, R) the target's probabilities of the tokens that the draft can propose; they may sum to
            less than 1.
        logits: (n, R) the draft's.

    Returns:
        (n,), least where the draft is the target, normalised over these tokens.
    """
    return -(target * logits.log_softmax(-1)).sum(-1)


def total_variation(target: Tensor, logits: Tensor) -> Tensor:
    """1 minus the share of samples that token-wise rejection accepts; arguments and result as above."""
    return 1 - torch.minimum(target, logits.softmax(-1)).sum(-1)


def agreement(target: Tensor, draft: Tensor, count: int) -> Tensor:
    """Whether the target's likeliest token is among the draft's `count` likeliest: (n, V) logits, to (n,)."""
    return (draft.topk(count, dim=-1).indices == target.argmax(-1, keepdim=True)).any(-1)


def overlap(target: Tensor, draft: Tensor) -> Tensor:
    """The chance that a sample of the draft is accepted: two distributions (n, V), to (n,).

    Leviathan, Kalman & Matias (2023), https://arxiv.org/abs/2211.17192, section 3.
    """
    return torch.minimum(target, draft).sum(-1)
