"""Level greedy: every emitted token is what the target says at temperature 0, checked by teacher forcing.

Passes of different shapes round differently, so two logits that nearly tie may swap. How far logits move
between shapes is measured on the same text, and a token below the best by no more than that is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DECADES = range(-7, 3)  # of the histogram of gaps


@dataclass(frozen=True, slots=True)
class GreedyCheck:
    """The texts of one method.

    Attributes:
        tokens: that were checked.
        best: of them the target's likeliest.
        ties: of them below it by no more than the noise.
        wrong: of them below it by more.
        noise: greatest move of the distance of two logits between a pass of one token and one of many.
        worst: greatest gap found.
        histogram: how many of the gaps above 0 lie below 10^d, by d.
    """

    tokens: int
    best: int
    ties: int
    wrong: int
    noise: float
    worst: float
    histogram: dict[int, int]

    @property
    def passed(self) -> bool:
        """Whether every token is the best or tied with it."""
        return self.wrong == 0


def gaps(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """How far each token lies below the best: logits (n, V) and n tokens to (n,), 0 for the best itself."""
    own = logits.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    return (logits.amax(-1) - own).double().cpu()


def noise(together: Tensor, one_by_one: Tensor) -> float:
    """Greatest move of the distance of two logits between two computations of the same rows (n, V)."""
    moved = together.double() - one_by_one.double()
    return float((moved.amax(-1) - moved.amin(-1)).max())


def check_gaps(found: Tensor, noise: float) -> GreedyCheck:
    """Judge the gaps (n,) of all emitted tokens by the noise."""
    apart = found[found > 0]
    return GreedyCheck(
        tokens=len(found),
        best=int((found <= 0).sum()),
        ties=int(((found > 0) & (found <= noise)).sum()),
        wrong=int((found > noise).sum()),
        noise=noise,
        worst=float(found.max()) if len(found) else 0.0,
        histogram={decade: int((apart < 10.0**decade).sum()) for decade in DECADES} if len(apart) else {},
    )
