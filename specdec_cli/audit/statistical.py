"""Level statistical: many texts of one prompt, beside the target's own law.

The first token is compared with the law that the target's logits give, a G-test. Later tokens have no law
that is cheap to compute, so they are compared with plain decoding of other seeds, a two-sample test for each
position. The p-values are corrected for their number, and each test says which difference it would have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Texts = Sequence[Sequence[int]]
Numbers = NDArray[np.float64]

LEVEL = 0.001  # how often an audit of a lossless method may fail, all of its tests together
POWER = 0.99
EXPECTED = 5.0  # least expected count of a bin: what is rarer is pooled


@dataclass(frozen=True, slots=True)
class StatisticalTest:
    """One test.

    Attributes:
        name: what was compared.
        samples: texts of the method.
        bins: tokens told apart, the pool of rare ones included.
        p_value: corrected for the number of tests; None where there was nothing to tell apart.
        would_see: least total variation distance that it would have seen with `POWER`, whatever its shape.
        impossible: tokens that came up and that the target cannot emit.
    """

    name: str
    samples: int
    bins: int
    p_value: float | None
    would_see: float
    impossible: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the method."""
        return not self.impossible and (self.p_value is None or self.p_value >= LEVEL)


def compare_texts(method: Texts, plain: Texts, first_law: Sequence[float]) -> list[StatisticalTest]:
    """Test the first token against its law, and each later one against plain decoding.

    Args:
        method: texts of the method, token ids, of independent seeds.
        plain: texts of plain decoding, of other seeds.
        first_law: the target's probability of each token in the first place.
    """
    length = max(map(len, [*method, *plain]))
    number = length  # of tests, by which each p-value is multiplied
    tests = [_first(_column(method, 0), np.asarray(first_law, dtype=np.float64), number)]
    for place in range(1, length):
        tests.append(_later(place, _column(method, place), _column(plain, place), number))
    return tests


def _column(texts: Texts, place: int) -> list[int]:
    """The tokens in one place, -1 where a text was over."""
    return [text[place] if place < len(text) else -1 for text in texts]


def _first(tokens: list[int], law: Numbers, number: int) -> StatisticalTest:
    counts = np.bincount(tokens, minlength=len(law)).astype(np.float64)
    impossible = int(counts[law <= 0].sum())
    expected = law * len(tokens) / law.sum()
    frequent = expected >= EXPECTED
    bins = np.array([*expected[frequent], expected[~frequent].sum()])
    seen = np.array([*counts[frequent], counts[~frequent].sum()])
    if bins[-1] < EXPECTED and len(bins) > 1:  # a pool too small for the test joins the rarest of the others
        rarest = int(bins[:-1].argmin())
        bins[rarest] += bins[-1]
        seen[rarest] += seen[-1]
        bins, seen = bins[:-1], seen[:-1]
    p_value = None
    if len(bins) > 1:
        found = stats.power_divergence(seen, bins * (seen.sum() / bins.sum()), lambda_="log-likelihood")
        p_value = min(1.0, float(found.pvalue) * number)
    would_see = _smallest_seen(len(tokens), len(bins), number)
    return StatisticalTest("token 1, its law", len(tokens), len(bins), p_value, would_see, impossible)


def _later(place: int, method: list[int], plain: list[int], number: int) -> StatisticalTest:
    total = Counter(method) + Counter(plain)
    share = min(len(method), len(plain)) / (len(method) + len(plain))
    frequent = [token for token, count in total.items() if count * share >= EXPECTED]
    rows = []
    for tokens in (method, plain):
        counts = Counter(tokens)
        kept = [counts[token] for token in frequent]
        rows.append([*kept, len(tokens) - sum(kept)])
    table = np.array(rows)
    table = table[:, table.sum(axis=0) > 0]
    p_value = None
    if table.shape[1] > 1:
        found = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        p_value = min(1.0, float(found.pvalue) * number)
    samples = len(method) * len(plain) / (len(method) + len(plain))
    name = f"token {place + 1}, plain decoding"
    return StatisticalTest(
        name, len(method), table.shape[1], p_value, _smallest_seen(samples, table.shape[1], number)
    )


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
