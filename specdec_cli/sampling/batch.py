"""Tokens for many texts at once, as a model writes training text: from one stream of chance, not by keys."""

from __future__ import annotations

import torch
from torch import Tensor

from specdec_cli.sampling.distribution import LEAST_TEMPERATURE, require_finite


def draw_tokens(logits: Tensor, temperatures: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """A token for each row, and the logarithm of the sum of the exponentials of its logits.

    Args:
        logits: (B, V).
        temperatures: (B,); a row at 0 gives its likeliest token.
        chance: where the draws come from, a number a row, also for those at 0.

    Returns:
        Tokens (B,), and normalisers (B,) in float32, at temperature 1.

    Raises:
        NotFiniteError: no distribution follows from a row.
    """
    require_finite(logits, "The target")
    scores = logits.float()
    sampled = temperatures >= LEAST_TEMPERATURE
    scaled = scores / torch.where(sampled, temperatures, 1.0)[:, None]
    cumulative = scaled.softmax(-1).double().cumsum_(-1)
    points = torch.rand(len(scores), 1, generator=chance, dtype=torch.float64).to(scores.device)
    drawn = torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True)[:, 0]
    drawn.clamp_(max=scores.shape[-1] - 1)
    return torch.where(sampled, drawn, scores.argmax(-1)), scores.logsumexp(-1)
