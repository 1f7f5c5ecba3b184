"""Votes and weights, against sums by hand."""

import math

import pytest
from planting import broken

from specdec_cli.specem import voting
from specdec_cli.specem.voting import rewards, updated, votes

SHARES = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]
OWN = [0, 1, 2]


def test_everybody_is_heard_with_self_votes():
    found = votes(SHARES, [1, 1, 2], OWN, self_vote=True)
    assert found == pytest.approx([(0.7 + 0.1 + 0.4) / 4, (0.2 + 0.6 + 0.6) / 4, (0.1 + 0.3 + 1.0) / 4])


def test_nobody_is_heard_about_their_own_draft_without_them():
    found = votes(SHARES, [1, 1, 2], OWN, self_vote=False)
    assert found == pytest.approx([(0.1 + 0.4) / 3, (0.2 + 0.6) / 3, (0.1 + 0.3) / 2])


def test_a_draft_that_only_its_authors_can_judge_is_judged_by_them():
    assert votes([[0.9, 0.1]], [1.0], [0], self_vote=False) == [0.9, 0.1]


def test_a_draft_that_only_weightless_others_can_judge_is_judged_by_its_authors():
    assert votes([[0.9, 0.1], [0.4, 0.6]], [1.0, 0.0], OWN[:2], self_vote=False) == pytest.approx([0.9, 0.1])


def test_a_judge_who_writes_nothing_is_heard_about_all():
    found = votes([[0.9, 0.1], [0.4, 0.6]], [1, 1], [0, None], self_vote=False)
    assert found == pytest.approx([0.4, 0.35])


def test_a_reward_is_the_share_of_comparisons_won_in_the_eyes_of_others():
    scores = [[-1.0, -2.0, -3.0], [-2.0, -1.0, -2.0], [-1.0, -2.0, -3.0]]
    # 0: judge 1 puts it level with 2; judge 2 above 1. What judges think of their own drafts does not count.
    # 1: judge 0 puts it above 2; judge 2 below 0.
    # 2: judge 0 puts it below 1; judge 1 level with 0.
    assert rewards(scores, OWN) == pytest.approx([1.5 / 2, 1 / 2, 0.5 / 2])


def test_two_models_that_both_draft_have_no_third_to_reward_them():
    assert rewards([[-1.0, -9.0], [-1.0, -2.0]], [0, 1]) == [0.5, 0.5]
    assert updated([0.3, 0.7], [0.5, 0.5], 1.0, 1) == pytest.approx([0.3, 0.7])


def test_a_judge_without_a_draft_gets_the_mean_reward():
    found = rewards([[0.0, 1.0], [2.0, 1.0], [3.0, 1.0]], [0, 1, None])
    assert found == pytest.approx([1.0, 0.0, 0.5])


def test_one_model_alone_has_nothing_to_learn():
    assert rewards([[1.0]], [0]) == [0.5]
    assert updated([1.0], [0.5], 1.0, 1) == [1.0]


def test_weights_follow_hedge():
    eta = 0.5 * math.sqrt(math.log(2) / 4)
    grown = [0.3 * math.exp(eta), 0.7 * math.exp(eta * 0.25)]
    assert updated([0.3, 0.7], [1.0, 0.25], 0.5, 4) == pytest.approx([each / sum(grown) for each in grown])
    assert updated([0.3, 0.7], [1.0, 0.0], 0.0, 1) == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("rate", [1e4, 1e308])
def test_a_huge_learning_rate_leaves_the_best_of_those_that_weigh_anything(rate):
    assert updated([0.5, 0.5, 0.0], [0.25, 0.75, 1.0], rate, 1) == [0.0, 1.0, 0.0]
    assert updated([0.2, 0.4, 0.4], [0.0, 0.5, 0.5], rate, 1) == [0.0, 0.5, 0.5]


def test_the_weights_of_a_better_model_grow_and_the_regret_stays_within_hedges_bound():
    weights, gained, best, rounds = [1 / 3] * 3, 0.0, 0.0, 400
    for number in range(1, rounds + 1):
        gains = [1.0 if number % 5 else 0.0, 0.5, 0.2]
        gained += sum(weight * gain for weight, gain in zip(weights, gains, strict=True))
        best += gains[0]
        weights = updated(weights, gains, 1.0, number)
    assert weights[0] > 0.9
    assert best - gained <= 2 * math.sqrt(rounds * math.log(3))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("own[verifier] != candidate and", ""),
        ("/ total)", ")"),
        ("weights[verifier] * shares", "shares"),
    ],
)
def test_a_broken_vote_is_seen(right, wrong):
    copy = broken(voting, right, wrong)
    expected = votes(SHARES, [1, 1, 2], OWN, self_vote=False)
    assert copy.votes(SHARES, [1, 1, 2], OWN, self_vote=False) != pytest.approx(expected)
