"""What executions cost on toys whose guesses are accepted at a known rate, beside the theory."""

import ensemble_toys as toys
import pytest

from specdec_cli.audit.toys import ToyLaw
from specdec_cli.ensemble import cost_model
from specdec_cli.ensemble.auto import choose, measure
from specdec_cli.ensemble.combiners import WeightedAverage
from specdec_cli.ensemble.cost_model import Price
from specdec_cli.ensemble.execution import turns

LENGTH = 1200
ONE, OTHER, THIRD = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5), (0.1, 0.8, 0.1)
ALPHA = 1 - 0.15  # total variation between ONE and the average of ONE and OTHER is 0.15


def pair():
    return toys.averaged([toys.constant(*ONE), toys.constant(*OTHER)])


def test_plain_decoding_asks_every_model_once_for_a_token():
    made = toys.steps(pair(), "plain", 50)
    assert [share.calls for share in toys.totals(made)] == [50, 50]


def test_the_mixture_asks_one_model_for_a_token_as_often_as_its_weight():
    ensemble = toys.averaged([toys.constant(*ONE), toys.constant(*OTHER)], (0.8, 0.2))
    made = toys.steps(ensemble, "mixture", LENGTH)
    assert toys.calls_per_token(made) == 1
    assert toys.totals(made)[0].calls / LENGTH == pytest.approx(0.8, abs=0.04)
    assert {owner for step in made for owner in step.owners} == {0, 1}


def test_alternate_proposal_by_equals_makes_two_minus_alpha_calls_a_token():
    """Theorem 3.6 with chains of one and equal costs: a speed-up of 2 / (2 - alpha)."""
    made = toys.steps(pair(), "chef", LENGTH)
    assert toys.calls_per_token(made) == pytest.approx(2 - ALPHA, rel=0.04)
    shares = toys.totals(made)
    assert sum(share.accepted for share in shares) / LENGTH == pytest.approx(ALPHA, abs=0.03)


@pytest.mark.parametrize("gamma", [2, 4])
def test_one_proposer_emits_a_truncated_geometric_number_of_tokens_a_step(gamma):
    made = toys.steps(pair(), "sd", LENGTH, (gamma, 1))
    expected = (1 - ALPHA ** (gamma + 1)) / (1 - ALPHA)
    assert LENGTH / len(made) == pytest.approx(expected, rel=0.05)
    proposer, other = toys.totals(made)
    assert other.calls == len(made)
    assert proposer.calls / len(made) == pytest.approx(gamma + ALPHA**gamma, rel=0.05)


@pytest.mark.parametrize(
    ("count", "gammas"),
    [(2, (1, 1)), (2, (3, 1)), (2, (1, 4)), (3, (1, 1, 1)), (3, (2, 1, 1)), (3, (1, 2, 3))],
)
def test_alternate_proposal_costs_what_playing_it_with_coins_predicts(count, gammas):
    laws = [toys.constant(*probs) for probs in (ONE, OTHER, THIRD)[:count]]
    ensemble = toys.averaged(laws)
    made = toys.steps(ensemble, "chef", LENGTH, gammas)
    _, acceptance = measure(ensemble, toys.PROMPT)
    order = turns(gammas, [1.0] * count)
    played = cost_model.alternate_proposal([Price(1.0)] * count, gammas, order, acceptance)
    assert toys.calls_per_token(made) == pytest.approx(played, rel=0.05)


def test_chains_of_one_cost_what_plain_decoding_does_where_nothing_is_accepted():
    laws = [toys.constant(0.6, 0.0, 0.4), toys.constant(0.0, 0.6, 0.4)]  # both like the third second best
    ensemble = toys.averaged(laws, temperature=0.0)
    made = toys.steps(ensemble, "chef", 60)
    assert set(toys.tokens(made)) == {2}
    assert sum(share.accepted for share in toys.totals(made)) == 0
    assert toys.calls_per_token(made) == 2


def test_early_verdicts_save_calls_where_one_model_outweighs_the_rest(monkeypatch):
    laws = [ToyLaw(4, seed) for seed in (1, 2, 3)]
    weights = (0.05, 0.9, 0.05)
    early = toys.calls_per_token(toys.steps(toys.averaged(laws, weights, temperature=0.0), "chef", 150))
    monkeypatch.setattr(WeightedAverage, "settled", lambda *_: None)
    late = toys.calls_per_token(toys.steps(toys.averaged(laws, weights, temperature=0.0), "chef", 150))
    assert early < 0.95 * late


def test_prices_say_what_is_fastest():
    equal, cheap = [Price(1.0), Price(1.0)], [Price(0.05), Price(1.0)]
    assert cost_model.mixture(equal, (0.5, 0.5)) == 1.0
    assert cost_model.alternate_proposal(equal, (1, 1), [0, 1], [0.9, 0.9]) > 1.0
    chained = cost_model.alternate_proposal(cheap, (5, 1), [0, 1], [0.9, 0.9])
    assert chained < cost_model.mixture(cheap, (0.5, 0.5)) < cost_model.plain(cheap)


def test_alpha_of_an_average_is_the_proposers_weight_and_the_rest_of_the_overlap():
    _, acceptance = measure(pair(), toys.PROMPT)
    overlap = sum(map(min, ONE, OTHER))
    assert acceptance == pytest.approx([0.5 + 0.5 * overlap] * 2)
    assert acceptance[0] == pytest.approx(ALPHA)


def test_auto_takes_the_mixture_where_it_may_and_never_what_cannot_be_had():
    sampled = choose(pair(), toys.PROMPT)
    assert {each.execution.kind for each in sampled.predictions} == {"plain", "mixture", "sd", "chef"}
    assert sampled.predictions[0].execution == sampled.execution
    greedy = choose(toys.averaged([toys.constant(*ONE), toys.constant(*OTHER)], temperature=0.0), toys.PROMPT)
    assert "mixture" not in {each.execution.kind for each in greedy.predictions}
    alone = choose(toys.averaged([toys.constant(*ONE)]), toys.PROMPT)
    assert alone.execution.kind == "plain"
