"""From the few tokens that a draft can propose to the target's whole vocabulary."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad


def spread(values: Tensor, tokens: Tensor | None, vocab_size: int, fill: float) -> Tensor:
    """Entries of some tokens, each put at its id among all.

    Args:
        values: (..., R) logits or probabilities.
        tokens: (R,) the ids that they stand for; None where entry i stands for id i.
        vocab_size: V of the whole vocabulary.
        fill: for the tokens that have no entry.

    Returns:
        (..., V).
    """
    if tokens is not None:
        return values.new_full((*values.shape[:-1], vocab_size), fill).index_copy_(-1, tokens, values)
    missing = vocab_size - values.shape[-1]
    return pad(values, (0, missing), value=fill) if missing else values
