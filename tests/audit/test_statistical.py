"""The statistical level: fails as rarely as it says, sees what it says it would see."""

import random
from collections import Counter
from typing import Any

import pytest
from scipy import stats

from specdec_cli.audit.statistical import LEVEL, POWER, compare_texts

LAW = [0.35, 0.25, 0.15, 0.1, 0.08, 0.05, 0.015, 0.005]


def texts(law, count, seed, length=1):
    chance = random.Random(seed)
    return [chance.choices(range(len(law)), law, k=length) for _ in range(count)]


def test_p_values_of_the_true_law_are_uniform():
    found = [
        compare_texts(texts(LAW, 500, seed), texts(LAW, 10, seed + 999), LAW)[0].p_value
        for seed in range(400)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_p_values_of_later_tokens_are_uniform_before_their_correction():
    found: list[Any] = []
    for seed in range(300):
        tests = compare_texts(texts(LAW, 400, seed, 2), texts(LAW, 400, seed + 9999, 2), LAW)
        found.append(tests[1].p_value)
    # Corrected for three tests: two thirds of them are 1, the others uniform below.
    assert stats.kstest([value for value in found if value < 1], "uniform").pvalue > 0.001
    assert abs(sum(value == 1 for value in found) / 300 - 2 / 3) < 0.15


def shifted(distance):
    """A law that far away, in the shape that is hardest to see: from one half of the mass to the other."""
    half = [LAW[0], *[0] * 5, LAW[6], 0]
    mass = sum(half)
    return [
        p + distance * p / mass if q else p - distance * p / (1 - mass)
        for p, q in zip(LAW, half, strict=True)
    ]


def test_a_law_at_the_distance_it_would_see_is_seen_as_often_as_it_says():
    count = 2000
    distance = compare_texts(texts(LAW, count, 0), texts(LAW, 10, 1), LAW)[0].would_see
    assert 0.02 < distance < 0.2
    seen = sum(
        not compare_texts(texts(shifted(distance), count, seed), texts(LAW, 10, 1), LAW)[0].passed
        for seed in range(300)
    )
    assert seen / 300 > POWER - 0.02


def test_a_token_that_the_target_cannot_emit_fails_at_once():
    law = [0.5, 0.5, 0.0]
    found = compare_texts([[0], [1]] * 100 + [[2]], [[0]], law)
    assert (found[0].impossible, found[0].passed) == (1, False)


def test_texts_that_end_early_are_compared_by_where_they_end():
    method = [[0, 1]] * 50 + [[0]] * 50
    assert compare_texts(method, method, [1.0])[1].passed
    assert not compare_texts(method, [[0, 1]] * 100, [1.0])[1].passed


def test_a_law_certain_of_one_token_leaves_nothing_to_tell_apart():
    test = compare_texts([[0]] * 60, [[0]] * 60, [1.0, 0.0])[0]
    assert (test.p_value, test.passed, test.would_see) == (None, True, 1.0)


@pytest.mark.parametrize("count", [100, 1000])
def test_rare_tokens_are_pooled_by_the_law_and_not_by_what_came_up(count):
    sample = texts(LAW, count, 5)
    test = compare_texts(sample, texts(LAW, 10, 1), LAW)[0]
    frequent = sum(p * count >= 20 for p in LAW)
    assert test.bins in (frequent, frequent + 1)
    assert sum(Counter(token for text in sample for token in text).values()) == test.samples == count
    assert test.p_value is not None
    assert test.p_value >= LEVEL


def test_a_dependence_between_tokens_that_leaves_each_alone_untouched_is_seen():
    chance = random.Random(3)
    free = [[chance.randrange(2), chance.randrange(2)] for _ in range(1000)]
    tied = [[token, token] for token in (chance.randrange(2) for _ in range(1000))]
    tests = compare_texts(tied, free, [0.5, 0.5])
    assert [test.passed for test in tests] == [True, True, False]
    assert "1 and 2" in tests[2].name


def test_a_law_that_is_no_number_fails():
    assert not compare_texts([[0]] * 100, [[0]] * 100, [float("nan")] * 3)[0].passed


def test_a_token_at_the_edge_of_a_nucleus_is_no_impossible_one():
    law, possible = [0.6, 0.4, 0.0, 0.0], [True, True, True, False]
    assert compare_texts([[0], [1]] * 100 + [[2]], [[0]], law, possible)[0].impossible == 0
    assert compare_texts([[0], [1]] * 100 + [[3]], [[0]], law, possible)[0].impossible == 1


def test_it_fails_no_more_often_than_it_says_where_many_bins_are_just_frequent_enough():
    law = [1 / 20] * 20
    found: list[Any] = [
        compare_texts(texts(law, 420, seed), texts(law, 10, 1), law)[0].p_value for seed in range(800)
    ]
    low = sum(p_value < 0.01 for p_value in found)
    assert low < 800 * 0.01 + 3 * (800 * 0.01) ** 0.5 + 3
