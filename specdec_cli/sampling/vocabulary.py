"""From the few tokens that a draft can propose to the target's whole vocabulary."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad


def spread(values: Tensor, tokens: Tensor | None, width: int, fill: float) -> Tensor:
    """Entries of some tokens, put in their places among all.

    Args:
        values: (..., R) logits or probabilities.
        tokens: (R,) the ids that they stand for; None where entry i stands for id i.
        width: V of the whole vocabulary.
        fill: for the tokens that have no entry.

    Returns:
        (..., V).
    """
    if tokens is not None:
        return values.new_full((*values.shape[:-1], width), fill).index_copy_(-1, tokens, values)
    missing = width - values.shape[-1]
    return pad(values, (0, missing), value=fill) if missing else values
