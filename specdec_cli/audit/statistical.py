"""Level statistical: many texts of one prompt, beside the target's own law.

The first token is compared with the law that the target's logits give, a G-test. Later tokens have no law
that is cheap to compute, so they are compared with plain decoding of other seeds, a two-sample test for each
position and one for the first pair. The p-values are corrected for their number, and each test says which
difference it would have seen, and how much of the texts was too rare to be told apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Texts = Sequence[Sequence[int]]
Numbers = NDArray[np.float64]

LEVEL = 0.001  # how often an audit of lossless methods may fail, all of its tests together
POWER = 0.99
EXPECTED = 20.0  # least expected count of a bin: what is rarer is pooled, or the test would fail too often


@dataclass(frozen=True, slots=True)
class StatisticalTest:
    """One test.

    Attributes:
        name: what was compared.
        samples: texts of the method.
        bins: tokens told apart, the pool of rare ones included.
        pooled: share of the texts that fell into the pool.
        p_value: corrected for the number of tests; None where there was nothing to tell apart.
        would_see: least total variation distance between the binned laws that it would have seen with
            `POWER`, in the shape that is hardest to see.
        impossible: tokens that came up and that the target cannot emit.
    """

    name: str
    samples: int
    bins: int
    pooled: float
    p_value: float | None
    would_see: float
    impossible: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the method; a p-value that is no number does."""
        return not self.impossible and (self.p_value is None or self.p_value >= LEVEL)


def compare_texts(
    method: Texts,
    plain: Texts,
    first_law: Sequence[float],
    possible: Sequence[bool] | None = None,
    methods: int = 1,
) -> list[StatisticalTest]:
    """Test the first token against its law, each later one and the first pair against plain decoding.

    Args:
        method: texts of the method, token ids, of independent seeds.
        plain: texts of plain decoding, of other seeds.
        first_law: the target's probability of each token as the first one.
        possible: which tokens can be emitted there at all, rounding at the edge of a nucleus allowed for; by
            default those that the law gives any probability.
        methods: how many methods are tested in the same audit.
    """
    law = np.asarray(first_law, dtype=np.float64)
    allowed = law > 0 if possible is None else np.asarray(possible)
    length = max(map(len, [*method, *plain]))
    number = methods * (length + (length > 1))  # of tests, by which each p-value is multiplied
    tests = [_first(_column(method, 0), law, allowed, number)]
    for index in range(1, length):
        name = f"token {index + 1}, plain decoding"
        tests.append(_two_samples(name, _column(method, index), _column(plain, index), number))
    if length > 1:
        first, second = ([tuple(text[:2]) for text in some] for some in (method, plain))
        tests.append(_two_samples("tokens 1 and 2, plain decoding", first, second, number))
    return tests


def _column(texts: Texts, index: int) -> list[int]:
    """The token of that index in each text, -1 where it was over."""
    return [text[index] if index < len(text) else -1 for text in texts]


def _first(tokens: list[int], law: Numbers, allowed: NDArray[np.bool_], number: int) -> StatisticalTest:
    counts = np.bincount(tokens, minlength=len(law)).astype(np.float64)
    impossible = int(counts[~allowed].sum())
    expected = law * len(tokens) / law.sum()
    frequent = expected >= EXPECTED
    bins = np.array([*expected[frequent], expected[~frequent].sum()])
    seen = np.array([*counts[frequent], counts[~frequent].sum()])
    pooled = float(seen[-1] / len(tokens))
    if bins[-1] < EXPECTED and len(bins) > 1:  # a pool too small for the test joins the rarest of the others
        rarest = int(bins[:-1].argmin())
        bins[rarest] += bins[-1]
        seen[rarest] += seen[-1]
        bins, seen = bins[:-1], seen[:-1]
    p_value = None
    if not np.isfinite(law).all():
        p_value = math.nan
    elif len(bins) > 1:
        found = stats.power_divergence(seen, bins * (seen.sum() / bins.sum()), lambda_="log-likelihood")
        p_value = _corrected(float(found.pvalue), number)
    would_see = _smallest_seen(len(tokens), len(bins), number)
    return StatisticalTest("token 1, its law", len(tokens), len(bins), pooled, p_value, would_see, impossible)


def _two_samples(
    name: str, method: Sequence[Hashable], plain: Sequence[Hashable], number: int
) -> StatisticalTest:
    total = Counter(method) + Counter(plain)
    share = min(len(method), len(plain)) / (len(method) + len(plain))
    frequent = [token for token, count in total.items() if count * share >= EXPECTED]
    rows = []
    for tokens in (method, plain):
        counts = Counter(tokens)
        kept = [counts[token] for token in frequent]
        rows.append([*kept, len(tokens) - sum(kept)])
    table = np.array(rows)
    pooled = float(table[0, -1] / len(method))
    if table[:, -1].sum() * share < EXPECTED and len(frequent) > 0:  # as for the first token
        rarest = int(table[:, :-1].sum(axis=0).argmin())
        table[:, rarest] += table[:, -1]
        table = table[:, :-1]
    p_value = None
    if table.shape[1] > 1:
        found = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        p_value = _corrected(float(found.pvalue), number)
    samples = len(method) * len(plain) / (len(method) + len(plain))
    would_see = _smallest_seen(samples, table.shape[1], number)
    return StatisticalTest(name, len(method), table.shape[1], pooled, p_value, would_see)


def _corrected(p_value: float, number: int) -> float:
    return p_value if math.isnan(p_value) else min(1.0, p_value * number)


def _smallest_seen(samples: float, bins: int, number: int) -> float:
    """Least total variation that the test sees with `POWER`, in the shape that is hardest to see.

    A distance of t moves the statistic's noncentrality by at least 4 t^2 a sample: the most hidden shape
    moves t from one half of the mass to the other.
    """
    if bins < 2:
        return 1.0
    critical = stats.chi2.isf(LEVEL / number, bins - 1)

    def missing(distance: float) -> float:
        seen: float = stats.ncx2.sf(critical, bins - 1, 4 * samples * distance**2)
        return seen - POWER

    return float(optimize.brentq(missing, 1e-9, 1.0)) if missing(1.0) > 0 else 1.0
