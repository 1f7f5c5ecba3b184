"""The best that any lossless verifier could do at one position, to measure the real ones by.

To accept a guess is to transport the law of the guesses onto the target's (Sun et al. 2023, SpecTr,
https://arxiv.org/abs/2310.15141). The best probability of it is 1 + min over sets S of P(S) - Q(all guesses
in S), a minimal cut; for sampled guesses some prefix of the tokens sorted by target / draft attains it (Hu et
al. 2025, https://arxiv.org/abs/2502.18779), so V sets are looked at, not 2^V.
"""

from __future__ import annotations

from math import ceil, exp, expm1, lgamma, log, sqrt

import torch
from torch import Tensor

NEGLIGIBLE = 1e-12  # probability of what is left out of a sum
TINY = 1e-305  # what is less likely is impossible: its inverse may be no float
STEP = 0.4  # of the integral, in widths of its bump


def with_replacement(target: Tensor, draft: Tensor, count: int) -> float:
    """The best acceptance of `count` >= 1 independent draws from the draft; target and draft (V,)."""
    wanted, drafted = _by_ratio(_normalised(target), _normalised(draft))
    return _smallest_cut(wanted, drafted.cumsum(0) ** count)


def without_replacement(target: Tensor, draft: Tensor, count: int) -> float:
    """The best acceptance of `count` >= 1 different tokens drawn one by one; target and draft (V,).

    Where the draft has fewer, all of them are guessed. Exact to rounding for one or two, to 1e-12 for more.
    """
    if count == 1:
        return with_replacement(target, draft, 1)
    target, draft = _normalised(target), _normalised(draft)
    if int((draft > 0).sum()) <= count:
        return float(target[draft > 0].sum())
    # A token this rare is guessed too seldom to matter: let it not take time.
    rare = NEGLIGIBLE * _split(draft, count - 1)[1].sum() / (count * len(draft))
    wanted, drafted = _by_ratio(target, _normalised(torch.where(draft > rare, draft, 0)))
    return _smallest_cut(wanted, _two_inside(drafted) if count == 2 else _many_inside(drafted, count))


def hub(target: Tensor, draft: Tensor, count: int) -> float:
    """The acceptance of the draft's `count` - 1 likeliest tokens and one draw from its rest; both (V,).

    It is the best for these guesses, and SpecHub's rule attains it (Sun et al. 2024,
    https://arxiv.org/abs/2411.05289).
    """
    target, draft = _normalised(target), _normalised(draft)
    hubs, rest = _split(draft, count - 1)
    sampled = torch.minimum(target, _normalised(rest)).sum() if bool(rest.any()) else 0.0
    return float(_mass(target, draft, hubs) + sampled)


def top_k(target: Tensor, draft: Tensor, count: int) -> float:
    """The acceptance of the draft's `count` likeliest tokens, as far as it has them; both (V,)."""
    target, draft = _normalised(target), _normalised(draft)
    return float(_mass(target, draft, _split(draft, count)[0]))


def _normalised(probs: Tensor) -> Tensor:
    probs = probs.detach().cpu().double()
    probs = probs / probs.sum()
    return torch.where(probs > TINY, probs, 0)


def _split(draft: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` likeliest tokens (K,), and the draft (V,) with zeros for them."""
    tokens = draft.topk(min(count, len(draft))).indices
    return tokens, draft.scatter(0, tokens, 0)


def _mass(target: Tensor, draft: Tensor, tokens: Tensor) -> Tensor:
    """The target's probability of those of the tokens that the draft can guess."""
    return target[tokens[draft[tokens] > 0]].sum()


def _by_ratio(target: Tensor, draft: Tensor) -> tuple[Tensor, Tensor]:
    """Both without the tokens that are never guessed, sorted by target / draft: (n,) each, n <= V."""
    target, draft = target[draft > 0], draft[draft > 0]
    order = (target / draft).sort().indices
    return target[order], draft[order]


def _smallest_cut(wanted: Tensor, inside: Tensor) -> float:
    """1 + min of P(S) - Q(all guesses in S) over all prefixes S and the empty set."""
    return 1.0 + min(0.0, max(-1.0, float((wanted.cumsum(0) - inside).min())))


def _before(values: Tensor) -> Tensor:
    """The sum of what precedes each entry; never by subtraction, so that small sums stay exact."""
    return torch.cat((values.new_zeros(1), values[:-1].cumsum(0)))


def _after(values: Tensor) -> Tensor:
    return _before(values.flip(0)).flip(0)


def _many_inside(draft: Tensor, count: int) -> Tensor:
    """For every prefix S of the draft (n,), the chance that the first `count` different draws are in S: (n,).

    The draws are the first arrivals of a race in which token i arrives at rate draft_i. With c the rate of
    what is outside S, they are in S unless the first from outside, at a time t of density c exp(-c t), finds
    fewer than `count` of S arrived. If tokens could arrive again, that number would have a Poisson law and
    the chance would be draft(S)^count. So integrate the difference, which vanishes at both ends: a smooth
    bump in log t, for which equal steps converge exponentially, however peaked the draft.
    """
    inside, outside = draft.cumsum(0), _after(draft)
    likeliest, others = _split(draft, count - 1)
    first = (log(NEGLIGIBLE) + lgamma(count + 2)) / (count + 1)  # t^(count + 1) / (count + 1)! is missed
    last = log((36 + 4 * count) / float(others.sum()))  # by then `count` tokens have arrived
    steps = ceil((last - first) * sqrt(count) / STEP)
    spacing = (last - first) / steps
    absent = others.cumsum(0) + outside
    powers = torch.stack([inside**arrivals for arrivals in range(count)])
    missed = torch.zeros_like(draft)
    for step in range(steps + 1):
        time = exp(first + step * spacing)
        again = [exp(arrivals * log(time) - time - lgamma(arrivals + 1)) for arrivals in range(count)]
        exactly = torch.exp(-time * absent) * _odds(others, count, time)
        for token in likeliest.tolist():
            _join(exactly[:, token:], float(draft[token]) * time)
        missed += time * (exactly.sum(0) - powers.new_tensor(again) @ powers)
    return inside**count - outside * spacing * missed


def _two_inside(draft: Tensor) -> Tensor:
    """The same for two guesses, in closed form."""
    outside = _after(draft)
    return draft.cumsum(0) - outside * (draft / (_before(draft) + outside)).cumsum(0)


def _odds(rates: Tensor, count: int, time: float) -> Tensor:
    """For every prefix, the odds of 0, 1, .. `count` - 1 arrivals by then against none: (count, n).

    They are elementary symmetric polynomials of the tokens' odds: sums of nonnegative terms, none cancels.
    """
    odds = torch.expm1(rates * time)
    ways = [torch.ones_like(rates), odds.cumsum(0)]
    while len(ways) < count:
        ways.append(torch.cat((odds.new_zeros(1), (odds[1:] * ways[-1][:-1]).cumsum(0))))
    return torch.stack(ways)


def _join(exactly: Tensor, exponent: float) -> None:
    """Add a token to the chances (count, n), in place: for the likeliest, whose odds may pass all floats."""
    arrived = -expm1(-exponent) * exactly[:-1]
    exactly *= exp(-exponent)
    exactly[1:] += arrived
