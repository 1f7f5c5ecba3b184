"""What an ensemble is: one law of the next token made of several models' logits.

A combiner declares the law; how it is sampled (`execution.py`) cannot change it. Temperature and filters
apply to each model before its distribution is averaged, and to the sum where raw logits are combined.
Greedy decoding is certain of the token that the combined scores at temperature 1 like best, so an average of
probabilities at temperature 0 is not a vote of the models' favourites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.sampling.distribution import Sampling, distribution

PLAIN = Sampling()
GREEDY = Sampling(temperature=0.0)
TIE = 1e-6  # a lead that rounding could turn is none
NEVER = float("-inf")


class Combiner(Protocol):
    """A law made of the models' logits."""

    def law(self, logits: Sequence[Tensor], sampling: Sampling) -> Tensor:
        """The distribution (V,) of the next token, from every model's logits (V,) in their order."""
        ...

    def settled(self, known: Mapping[int, Tensor], sampling: Sampling) -> Tensor | None:
        """The law (V,) if some models' logits settle it, whatever the others say; else None.

        Args:
            known: logits (V,) of some of the models, by their index.
            sampling: as for `law`.
        """
        ...


@dataclass(frozen=True, slots=True)
class WeightedAverage:
    """r(x) = sum of w_k p_k(x), where p_k is model k's distribution at the run's sampling.

    At temperature 0: certain of the likeliest token of the same sum, with each p_k at temperature 1.

    Attributes:
        weights: w_k, of sum 1.
    """

    weights: tuple[float, ...]

    def law(self, logits: Sequence[Tensor], sampling: Sampling) -> Tensor:
        if len(logits) == 1:
            return distribution(logits[0], sampling)
        average = self._sum(dict(enumerate(logits)), sampling)
        return distribution(average, GREEDY) if sampling.is_greedy else average

    def settled(self, known: Mapping[int, Tensor], sampling: Sampling) -> Tensor | None:
        """At temperature 0, once one token leads by more than the weight of those who have not spoken."""
        if not sampling.is_greedy:
            return None
        terms = self._sum(known, sampling)
        first, second = terms.topk(2).values.tolist()
        rest = 1 - sum(self.weights[index] for index in known)
        return distribution(terms, GREEDY) if first - second > rest + TIE else None

    def _sum(self, known: Mapping[int, Tensor], sampling: Sampling) -> Tensor:
        each = PLAIN if sampling.is_greedy else sampling
        terms = [self.weights[index] * distribution(logits, each) for index, logits in known.items()]
        return torch.stack(terms).sum(0)


@dataclass(frozen=True, slots=True)
class LogitSum:
    """r proportional to exp(sum of c_k l_k), with temperature and filters before or after the sum.

    Weights of sum 1 make it the geometric average of the models' distributions; the coefficients 1, a and -a
    are proxy tuning, Liu et al. (2024), https://arxiv.org/abs/2401.08565: a base model and what a small tuned
    model says beyond a small untuned one.

    Attributes:
        coefficients: c_k.
        processed: whether each model's logits are taken after temperature and filters; those of a model with
            a negative coefficient after temperature only, since a filter would make what it removes
            infinitely good. Where the models' filters leave no token in common, none is applied.
    """

    coefficients: tuple[float, ...]
    processed: bool = False

    def law(self, logits: Sequence[Tensor], sampling: Sampling) -> Tensor:
        if sampling.is_greedy or not self.processed:
            return distribution(self._sum(logits), sampling)
        unfiltered = Sampling(sampling.temperature)
        each = [
            distribution(row, sampling if coefficient > 0 else unfiltered).log()
            for row, coefficient in zip(logits, self.coefficients, strict=True)
        ]
        total = self._sum(each)
        if bool((total > NEVER).any()):
            return distribution(total, PLAIN)
        return distribution(self._sum([distribution(row, unfiltered).log() for row in logits]), PLAIN)

    def settled(self, known: Mapping[int, Tensor], sampling: Sampling) -> Tensor | None:
        return None

    def _sum(self, rows: Sequence[Tensor]) -> Tensor:
        return weighted_sum(rows, self.coefficients)


@dataclass(frozen=True, slots=True)
class Contrastive:
    """r proportional to exp(l_expert - alpha l_amateur), where the expert finds the token plausible.

    Li et al. (2022), https://arxiv.org/abs/2210.15097, whose mask keeps x with p_expert(x) >= plausibility
    max p_expert; without it (0) the form of Fu et al. (2025), Speculative Ensemble,
    https://arxiv.org/abs/2502.01662. The form (1 + b) l_expert - b l_amateur of O'Brien & Lewis (2023),
    https://arxiv.org/abs/2309.09117, is this one with alpha = b / (1 + b) and the temperature divided by
    1 + b.

    Attributes:
        alpha: weight of the amateur's logits.
        plausibility: tokens less likely to the expert, relative to its likeliest and at temperature 1, have
            no chance; 0 gives all one.
        processed: as in `LogitSum`.
    """

    alpha: float
    plausibility: float = 0.0
    processed: bool = False

    def law(self, logits: Sequence[Tensor], sampling: Sampling) -> Tensor:
        expert, amateur = logits
        if self.plausibility > 0:
            shares = distribution(expert, PLAIN)
            expert = expert.masked_fill(shares < self.plausibility * shares.max(), NEVER)
        return LogitSum((1.0, -self.alpha), self.processed).law([expert, amateur], sampling)

    def settled(self, known: Mapping[int, Tensor], sampling: Sampling) -> Tensor | None:
        return None


def weighted_sum(rows: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """Sum of c_k l_k of rows l_k (V,), in float32 at least: (V,).

    What a model that counts cannot say has no chance; what one that is subtracted cannot say is not judged
    by it.
    """
    total = torch.zeros_like(_wide(rows[0]))
    for row, coefficient in zip(rows, coefficients, strict=True):
        if coefficient:
            term = coefficient * _wide(row)
            total = total + (term if coefficient > 0 else term.masked_fill(row == NEVER, 0.0))
    return total


def _wide(row: Tensor) -> Tensor:
    return row if row.dtype == torch.float64 else row.float()
