"""How well models like texts: scores of given tokens, and shares of several candidates."""

from __future__ import annotations

from torch import Tensor

LOGPROB, LOGIT = "logprob", "logit"
SCORINGS = (LOGPROB, LOGIT)


def token_scores(logits: Tensor, tokens: Tensor, scoring: str = LOGPROB) -> Tensor:
    """The score of one token of each row: (n, V) logits and (n,) ids to (n,).

    Args:
        logits: of the next token.
        tokens: the tokens that came.
        scoring: "logprob" for log-probabilities at temperature 1; "logit" for the logits themselves, which a
            model fixes only up to a constant for each row.
    """
    scores = logits.double()
    if scoring == LOGPROB:
        scores = scores.log_softmax(-1)
    return scores.gather(-1, tokens[:, None])[:, 0]


def shares(scores: Tensor) -> Tensor:
    """Scores (..., M) of M candidates as shares that add up to 1: their exponentials, normalised."""
    return scores.softmax(-1)
