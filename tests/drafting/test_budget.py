"""A tree is as large as its expected tokens pay for: against a search over all sizes."""

import math
import random

import pytest

from specdec_cli.drafting.budget import TreeBudget


def rate(scores, size, spent, pass_seconds):
    return (1 + sum(math.exp(score) for score in scores[:size])) / (spent + pass_seconds(size + 1))


@pytest.mark.parametrize("seed", range(20))
def test_the_size_gives_the_most_tokens_a_second_of_all_sizes(seed):
    chance = random.Random(seed)
    scores = sorted((-4 * chance.random() for _ in range(30)), reverse=True)
    flat, slope = chance.random(), 0.2 * chance.random()
    seconds = lambda rows: flat + slope * max(0, rows - 8)  # noqa: E731
    size = TreeBudget(seconds).best_size(scores, 0.1)
    best = max(rate(scores, each, 0.1, seconds) for each in range(31))
    assert rate(scores, size, 0.1, seconds) == pytest.approx(best)


def test_a_pass_that_costs_the_same_for_any_tree_takes_all_nodes():
    assert TreeBudget(lambda rows: 1.0).best_size([-1.0, -5.0, -9.0], 0.0) == 3


def test_a_pass_that_costs_in_proportion_takes_only_what_is_nearly_certain():
    assert TreeBudget(lambda rows: float(rows)).best_size([-0.001, -3.0], 0.0) == 0
    assert TreeBudget(lambda rows: 1 + 0.1 * rows).best_size([-0.001, -3.0], 0.0) == 1


def test_another_level_is_drafted_only_where_it_can_pay():
    slow_target, fast_target = TreeBudget(lambda rows: 1.0), TreeBudget(lambda rows: 0.01)
    scores, frontier = [-0.1, -0.2], [-0.2]
    assert slow_target.another_level(scores, frontier, spent=0.1, draft_pass=0.05)
    assert not fast_target.another_level(scores, frontier, spent=0.1, draft_pass=0.05)
    assert not slow_target.another_level(scores, [-20.0], spent=0.1, draft_pass=0.05)


def test_without_known_costs_the_tree_grows():
    unknown = TreeBudget(lambda rows: None)
    assert unknown.best_size([-1.0, -8.0], 0.5) == 2
    assert unknown.another_level([-1.0], [-1.0], 0.5, 0.1)
