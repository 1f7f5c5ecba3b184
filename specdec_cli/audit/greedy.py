"""Level greedy: every emitted token is what the target says at temperature 0, checked by teacher forcing.

Where the target promises a row's logits in the same bits in every pass (`Forward.bitwise`), nothing is
excused: each token is the likeliest, logits are equal bit for bit whether a pass has one row or many, and a
method that emits the target's own sample writes plain decoding's text of the same seed.

Elsewhere, passes of different shapes round differently, so two logits that nearly tie may swap. How far the
distance of the two best logits moves between shapes is measured on the same text; a token below the best by
no more than twice that is a tie. The noise itself has a ceiling: passes that differ by more than rounding are
a bug, and would excuse any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from specdec_cli.runtime.promise import BITWISE, UP_TO_TIES, Promise
from specdec_cli.sampling.distribution import Sampling, distribution

DECADES = range(-7, 3)  # of the histogram of gaps
SLACK = 2.0  # a tie may be this many times the greatest move that was seen
GREEDY = Sampling(temperature=0.0)
CEILINGS = {torch.float64: 1e-6, torch.float32: 1e-2, torch.float16: 0.5, torch.bfloat16: 2.0}


@dataclass(frozen=True, slots=True)
class BitCheck:
    """What was compared bit for bit.

    Attributes:
        moved: tokens before which the logits are other bits in a pass of one token than in a pass of many.
        seeded: texts of a method that emits the target's own sample, drawn above temperature 0.
        parted: of them those that are not plain decoding's of the same seed.
    """

    moved: int
    seeded: int
    parted: int


@dataclass(frozen=True, slots=True)
class GreedyCheck:
    """The texts of one method.

    Attributes:
        tokens: that were checked.
        best: of them the target's likeliest; of equal ones the first, where bits are compared.
        ties: of them below it by no more than `SLACK` times the noise; none where bits are compared.
        wrong: all others.
        noise: greatest move of the distance of the two best logits between a pass of one token and one of
            many.
        ceiling: the most that rounding explains in this number format.
        worst: greatest gap found.
        histogram: how many of the gaps above 0 lie below 10^d, by d.
        bits: what was compared bit for bit; None where the target does not promise that.
    """

    tokens: int
    best: int
    ties: int
    wrong: int
    noise: float
    ceiling: float
    worst: float
    histogram: dict[int, int]
    bits: BitCheck | None = None

    @property
    def identical(self) -> Promise:
        """The rule by which it is judged; see `runtime.promise`."""
        return UP_TO_TIES if self.bits is None else BITWISE

    @property
    def passed(self) -> bool:
        """Whether every token is the best or tied with it, and passes agree: but for rounding, or in bits."""
        bits = self.bits
        agree = self.noise <= self.ceiling if bits is None else bits.moved == bits.parted == 0
        return self.tokens > 0 and self.wrong == 0 and agree


def gaps(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """How far each token lies below the best: logits (n, V) and n tokens to (n,), 0 for the best itself."""
    own = logits.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    return (logits.amax(-1) - own).double().cpu()


def chosen(logits: Tensor, tokens: Sequence[int]) -> int:
    """How many of n tokens greedy decoding chooses by the logits (n, V) before them."""
    own = torch.tensor(tokens, device=logits.device)[:, None]
    return int(distribution(logits, GREEDY).gather(-1, own).sum())


def moved(together: Tensor, one_by_one: Tensor) -> int:
    """How many rows (n, V) are not the same bits in two computations."""
    return int((together != one_by_one).any(-1).sum())


def noise(together: Tensor, one_by_one: Tensor) -> float:
    """Greatest move of the distance of a row's two best logits between two computations of rows (n, V)."""
    best = one_by_one.topk(2, dim=-1).indices
    apart = [logits.double().gather(-1, best).diff(dim=-1) for logits in (together, one_by_one)]
    return float((apart[0] - apart[1]).abs().max())


def check_bits(check: GreedyCheck, best: int, bits: BitCheck) -> GreedyCheck:
    """The same judged bit for bit, of its tokens so many being those that greedy decoding chooses."""
    return replace(check, best=best, ties=0, wrong=check.tokens - best, bits=bits)


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
