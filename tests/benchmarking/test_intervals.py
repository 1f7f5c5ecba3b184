"""Intervals over few prompts hold the truth as often as they say, and the plain ones do not."""

import numpy as np
import pytest
from scipy import stats

from specdec_cli.benchmarking.intervals import interval, share, widened

TRIES = 120


def held(count, interval_of):
    chance = np.random.default_rng(count)
    hits = 0
    for _ in range(TRIES):
        low, high = interval_of(chance.normal(0.0, 1.0, count))
        hits += low <= 0.0 <= high
    return hits / TRIES


def plain(sample):
    found = stats.bootstrap((sample,), np.mean, n_resamples=1000, method="percentile", rng=0)
    return found.confidence_interval


@pytest.mark.parametrize("count", [8, 12])
def test_they_hold_the_truth_about_19_times_of_20(count: int) -> None:
    own = held(count, lambda sample: interval((sample,), np.mean))
    assert own >= 0.92
    assert own > held(count, plain)  # which is why they are widened


def test_the_widened_level_is_that_of_students_interval() -> None:
    sample = np.random.default_rng(0).normal(0, 1, 30)
    quantile = stats.norm.ppf((1 + widened(30)) / 2)
    half = quantile * sample.std() / np.sqrt(30)  # the spread that resamples have
    student = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert sample.mean() + half == pytest.approx(student.high, rel=1e-9)


def test_a_share_is_of_sums_and_one_sample_has_no_interval() -> None:
    assert share(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 0.5
    assert interval((np.array([1.0]),), np.mean) == (None, None)
