"""Level greedy: every emitted token is what the target says at temperature 0, checked by teacher forcing.

Passes of different shapes round differently, so two logits that nearly tie may swap. How far the distance of
the two best logits moves between shapes is measured on the same text; a token below the best by no more than
twice that is a tie. The noise itself has a ceiling: passes that differ by more than rounding are a bug, and
would excuse any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DECADES = range(-7, 3)  # of the histogram of gaps
SLACK = 2.0  # a tie may be this many times the greatest move that was seen
CEILINGS = {torch.float64: 1e-6, torch.float32: 1e-2, torch.float16: 0.5, torch.bfloat16: 2.0}


@dataclass(frozen=True, slots=True)
class GreedyCheck:
    """The texts of one method.

    Attributes:
        tokens: that were checked.
        best: of them the target's likeliest.
        ties: of them below it by no more than `SLACK` times the noise.
        wrong: all others.
        noise: greatest move of the distance of the two best logits between a pass of one token and one of
            many.
        ceiling: the most that rounding explains in this number format.
        worst: greatest gap found.
        histogram: how many of the gaps above 0 lie below 10^d, by d.
    """

    tokens: int
    best: int
    ties: int
    wrong: int
    noise: float
    ceiling: float
    worst: float
    histogram: dict[int, int]

    @property
    def passed(self) -> bool:
        """Whether every token is the best or tied with it, and the passes agree but for rounding."""
        return self.tokens > 0 and self.wrong == 0 and self.noise <= self.ceiling


def gaps(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """How far each token lies below the best: logits (n, V) and n tokens to (n,), 0 for the best itself."""
    own = logits.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    return (logits.amax(-1) - own).double().cpu()


def noise(together: Tensor, one_by_one: Tensor) -> float:
    """Greatest move of the distance of a row's two best logits between two computations of rows (n, V)."""
    best = one_by_one.topk(2, dim=-1).indices
    apart = [logits.double().gather(-1, best).diff(dim=-1) for logits in (together, one_by_one)]
    return float((apart[0] - apart[1]).abs().max())


def check_gaps(found: Tensor, noise: float, ceiling: float) -> GreedyCheck:
    """Judge the gaps (n,) of all emitted tokens by the noise."""
    apart = found[found > 0]
    best = int((found <= 0).sum())
    ties = int(((found > 0) & (found <= SLACK * noise)).sum())
    return GreedyCheck(
        tokens=len(found),
        best=best,
        ties=ties,
        wrong=len(found) - best - ties,  # what cannot be compared, such as NaN, is wrong too
        noise=noise,
        ceiling=ceiling,
        worst=float(found.max()) if len(found) else 0.0,
        histogram={decade: int((apart < 10.0**decade).sum()) for decade in DECADES} if len(apart) else {},
    )
