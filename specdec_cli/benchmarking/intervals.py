"""95% bootstrap intervals over few prompts.

A plain percentile interval of a dozen numbers holds the true mean in 88 to 92 of 100 cases, not in 95: the
resamples vary less than the truth does, and the quantiles are a normal's. Hesterberg (2015), What Teachers
Should Know About the Bootstrap, https://arxiv.org/abs/1411.5279, widens the quantiles to make up for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 4000
LEVEL = 0.95

Numbers = NDArray[np.float64]


def interval(samples: Sequence[Numbers], statistic: Callable[..., Any]) -> tuple[float | None, float | None]:
    """The 95% interval of a statistic of paired samples (n,) each; none for fewer than two.

    Args:
        samples: one or more columns, resampled together.
        statistic: of the columns, with an `axis`.
    """
    count = len(samples[0])
    if count < 2:
        return None, None
    found = stats.bootstrap(
        tuple(samples),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        confidence_level=widened(count),
        rng=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def widened(count: int) -> float:
    """The level at which a percentile interval of so many numbers is to be taken for one of 95%."""
    quantile = stats.t.ppf((1 + LEVEL) / 2, count - 1) * sqrt(count / (count - 1))
    return float(2 * stats.norm.cdf(quantile) - 1)


def share(some: Numbers, of: Numbers, axis: int = -1) -> Numbers:
    """The statistic that is the sum of one column over that of another."""
    quotient: Numbers = some.sum(axis) / of.sum(axis)
    return quotient
