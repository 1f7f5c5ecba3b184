"""Which candidate wins, and what each verifier's vote will weigh: pure functions on scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

Scores = Sequence[Sequence[float]]  # [verifier][candidate]


def votes(
    shares: Scores, weights: Sequence[float], own: Sequence[int | None], self_vote: bool
) -> list[float]:
    """The weighted mean share of each candidate: M numbers.

    Args:
        shares: (K, M) each verifier's shares of the candidates, which add up to 1.
        weights: (K) what each verifier's word weighs.
        own: (K) the candidate that a verifier wrote, if any.
        self_vote: whether it is heard about that one. A candidate that nobody else whose word weighs anything
            can judge is judged by its authors all the same.
    """
    found = []
    for candidate in range(len(shares[0])):
        others = [
            verifier
            for verifier in range(len(shares))
            if own[verifier] != candidate and weights[verifier] > 0
        ]
        heard = range(len(shares)) if self_vote or not others else others
        total = sum(weights[verifier] for verifier in heard)
        found.append(sum(weights[verifier] * shares[verifier][candidate] for verifier in heard) / total)
    return found


def rewards(scores: Scores, own: Sequence[int | None]) -> list[float]:
    """How often each verifier's own draft beat another in the eyes of a third: K numbers from 0 to 1.

    A third wrote neither of the two, so two verifiers that both draft earn nothing of each other. A tie is
    half a win. A verifier that drafts nothing, or that no third judges, gets the others' mean; where there is
    none, 0.5.
    """
    found: list[float | None] = []
    for verifier, mine in enumerate(own):
        outcomes = [
            1.0 if row[mine] > row[rival] else 0.5 if row[mine] == row[rival] else 0.0
            for judge, row in enumerate(scores)
            if mine is not None and own[judge] != mine and judge != verifier
            for rival in range(len(row))
            if rival not in (mine, own[judge])
        ]
        found.append(sum(outcomes) / len(outcomes) if outcomes else None)
    known = [each for each in found if each is not None]
    usual = sum(known) / len(known) if known else 0.5
    return [usual if each is None else each for each in found]


def updated(weights: Sequence[float], gains: Sequence[float], rate: float, round_number: int) -> list[float]:
    """The weights after a round, by Hedge (Freund & Schapire 1997) at any time: K numbers that add up to 1.

    Each weight is multiplied by exp(eta * gain), eta = rate * sqrt(ln K / t) in round t, which starts at 1.
    One weight must be above 0. Gains count from the best, so that no power overflows.
    """
    count = len(weights)
    eta = rate * math.sqrt(math.log(count) / round_number) if count > 1 else 0.0
    best = max(gain for weight, gain in zip(weights, gains, strict=True) if weight > 0)
    grown = [
        weight * (math.exp(eta * (gain - best)) if gain < best else 1.0)
        for weight, gain in zip(weights, gains, strict=True)
    ]
    return [each / sum(grown) for each in grown]
