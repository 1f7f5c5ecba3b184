"""The planned tree is the best there is: compared with every ordered tree of few nodes."""

import functools
import itertools
import math
import time
from typing import Any

import numpy as np
import pytest

from specdec_cli.drafting.planning import best_plan, best_tree, expected_tokens
from specdec_cli.drafting.shapes import StaticTree, from_children

EXACT = 1e-12
GUESSES, CHILDREN = 6, 3
LIMITS = [(size, depth) for size in range(GUESSES + 1) for depth in range(5)]


@functools.cache
def forests(guesses, most):
    """Every way to hang that many nodes below one that has at most so many children, as nested tuples."""
    if not guesses:
        return [()]
    if not most:
        return []
    return [
        (first, *rest)
        for below in range(guesses)
        for first in forests(below, CHILDREN)
        for rest in forests(guesses - 1 - below, most - 1)
    ]


TREES = [tree for guesses in range(GUESSES + 1) for tree in forests(guesses, CHILDREN)]


def size_of(tree):
    return sum(1 + size_of(child) for child in tree)


def depth_of(tree):
    return max((1 + depth_of(child) for child in tree), default=0)


def value_of(tree, acceptance):
    return 1 + sum(acceptance[index] * value_of(child, acceptance) for index, child in enumerate(tree))


def static(tree):
    """The same tree, numbered in the order in which a walk meets the nodes."""
    children: list[list[int]] = []

    def walk(node):
        own = len(children)
        children.append([])
        children[own] += [walk(child) for child in node]
        return own

    walk(tree)
    return from_children(children)


def vectors():
    """Acceptance rates of three children: falling, rising, with a gap, certain, hopeless, random."""
    random = np.random.default_rng(5)
    drawn = [random.dirichlet([1.0] * (CHILDREN + 1))[:CHILDREN].tolist() for _ in range(12)]
    return [(0.6, 0.2, 0.1), (0.1, 0.2, 0.6), (0.0, 0.5, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), *drawn]


def agrees(planner, acceptance, size, depth):
    """Whether a planner finds what a search of every tree within the limits finds."""
    fitting = (tree for tree in TREES if size_of(tree) <= size and depth_of(tree) <= depth)
    best = max(value_of(tree, acceptance) for tree in fitting)
    plan = planner(acceptance, size, depth)
    within = plan.tree.size <= size and plan.tree.depth <= depth
    values = (plan.tokens_per_pass, expected_tokens(plan.tree, acceptance))
    return within and all(abs(value - best) < EXACT for value in values)


def test_the_search_visits_every_tree_once():
    assert len(TREES) == len(set(TREES)) == 1 + 1 + 2 + 5 + 13 + 36 + 104
    assert len({static(tree) for tree in TREES}) == len(TREES)


@pytest.mark.parametrize("acceptance", vectors())
def test_the_planned_tree_is_the_best_of_all(acceptance):
    assert all(agrees(best_tree, acceptance, size, depth) for size, depth in LIMITS)


@pytest.mark.parametrize(
    "broken",
    [
        lambda rates, size, depth: best_tree([0.0, *rates[:-1]], size, depth),
        lambda rates, size, depth: best_tree(sorted(rates, reverse=True), size, depth),
        lambda rates, size, depth: best_tree(rates[:-1], size, depth),
        lambda rates, size, depth: best_tree(rates, size, depth + 1),
        lambda rates, size, depth: best_tree(rates, size + 1, depth),
        lambda rates, size, depth: best_tree(rates, max(size - 1, 0), depth),
    ],
    ids=["shifted", "sorted", "narrower", "deeper", "larger", "smaller"],
)
def test_the_comparison_sees_a_wrong_plan(broken):
    assert not all(agrees(broken, (0.1, 0.2, 0.6), size, depth) for size, depth in LIMITS)


@pytest.mark.parametrize("acceptance", vectors()[-3:])
def test_the_value_of_a_tree_is_summed_over_its_nodes(acceptance):
    for tree in TREES:
        assert abs(expected_tokens(static(tree), acceptance) - value_of(tree, acceptance)) < EXACT


def test_nodes_that_would_add_nothing_are_left_out():
    assert best_tree([0.0, 0.0], 10, 10).tree == best_tree([], 10, 10).tree == StaticTree()
    assert best_tree([0.5, 0.0], 10, 3).tree.parents == (-1, 0, 1)


@pytest.mark.parametrize("acceptance", [(0.62, 0.12, 0.05, 0.03), (0.3, 0.05, 0.2), (0.9,)])
@pytest.mark.parametrize(("size", "depth"), [(1, 9), (20, 3), (64, 8), (100, 1), (9, 100)])
def test_a_larger_plan_keeps_its_limits_and_its_promise(acceptance, size, depth):
    plan = best_tree(acceptance, size, depth)
    full = sum(len(acceptance) ** level for level in range(1, depth + 1))
    assert plan.tree.size == min(size, full)
    assert plan.tree.depth <= depth
    assert plan.tree.max_children <= len(acceptance)
    assert math.isclose(expected_tokens(plan.tree, acceptance), plan.tokens_per_pass, rel_tol=EXACT)
    assert plan.seconds is None


def test_a_large_plan_and_a_boundless_depth_are_quick():
    start = time.perf_counter()
    assert best_tree([0.6], 9, 10**9).tree.depth == 9
    best_tree([0.62, 0.12, 0.05, 0.03, 0.02, 0.01, 0.01, 0.01], 256, 16)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("acceptance", vectors())
@pytest.mark.parametrize("draft_seconds", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("pass_seconds", [{1: 1.0, 4: 1.1, 9: 2.5}, {1: 1.0, 7: 4.0}, {1: 2.0, 8: 2.0}])
def test_the_plan_is_the_fastest_of_all(acceptance, draft_seconds, pass_seconds):
    size, depth = 6, 3

    def seconds(tree):
        tokens = 1 + size_of(tree)
        low, high = next(pair for pair in itertools.pairwise(pass_seconds) if tokens <= pair[1])
        share = (tokens - low) / (high - low)
        target = (1 - share) * pass_seconds[low] + share * pass_seconds[high]
        return target + depth_of(tree) * draft_seconds

    fitting = (tree for tree in TREES if depth_of(tree) <= depth)
    fastest = max(value_of(tree, acceptance) / seconds(tree) for tree in fitting)
    plan = best_plan(acceptance, size, depth, pass_seconds, draft_seconds)
    assert plan.seconds is not None
    assert abs(plan.tokens_per_pass / plan.seconds - fastest) < EXACT
    chosen = next(tree for tree in TREES if static(tree) == plan.tree)
    assert depth_of(chosen) <= depth
    assert abs(plan.seconds - seconds(chosen)) < EXACT
    assert abs(plan.tokens_per_pass - value_of(chosen, acceptance)) < EXACT


@pytest.mark.parametrize(("acceptance", "draft_seconds"), [((0.6, 0.2), 5.0), ((0.0, 0.0), 0.0)])
def test_nothing_is_guessed_where_it_does_not_pay(acceptance, draft_seconds):
    plan = best_plan(acceptance, 8, 4, {1: 1.0, 9: 1.0}, draft_seconds)
    assert (plan.tree, plan.tokens_per_pass, plan.seconds) == (StaticTree(), 1.0, 1.0)


@pytest.mark.parametrize(("acceptance", "size", "seconds"), [([0.1], 0, 1.0), ([0.9, 0.1], 2, 1.5)])
def test_noise_makes_no_nodes_seem_to_save_time(acceptance, size, seconds):
    plan = best_plan(acceptance, 2, 1, {1: 1.0, 2: 1.5, 3: 0.1}, 0.0)
    assert (plan.tree.size, plan.seconds) == (size, seconds)


@pytest.mark.parametrize("acceptance", [[0.6, 0.5], [-0.1], [math.nan], [math.inf], [[0.1]]])
def test_rates_that_are_no_probabilities_are_refused(acceptance):
    for refuse in (
        lambda: best_tree(acceptance, 4, 2),
        lambda: best_plan(acceptance, 4, 2, {1: 1.0, 9: 1.0}, 0.1),
        lambda: expected_tokens(StaticTree((-1,)), acceptance),
    ):
        with pytest.raises(ValueError, match="acceptance"):
            refuse()


def test_a_tree_wider_than_the_known_rates_has_no_value():
    with pytest.raises(ValueError, match="2 children"):
        expected_tokens(StaticTree((-1, -1)), [0.5])


@pytest.mark.parametrize(
    "changed",
    [
        *[{"max_size": -1}, {"max_depth": -1}, {"draft_seconds": -0.1}, {"draft_seconds": math.nan}],
        *[{"pass_seconds": {}}, {"pass_seconds": {2: 1.0, 9: 1.0}}, {"pass_seconds": {1: 1.0, 4: 1.0}}],
        *[{"pass_seconds": {1: 0.0, 9: 1.0}}, {"pass_seconds": {1: math.nan, 9: 1.0}}],
    ],
)
def test_limits_and_times_that_cannot_be_are_refused(changed):
    usual: dict[str, Any] = {
        "max_size": 4,
        "max_depth": 2,
        "pass_seconds": {1: 1.0, 5: 1.0},
        "draft_seconds": 0.1,
    }
    best_plan([0.5], **usual)
    with pytest.raises(ValueError, match=r"cannot|timed"):
        best_plan([0.5], **(usual | changed))
