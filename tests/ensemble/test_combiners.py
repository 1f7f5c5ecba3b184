"""What is known before every model has spoken: only an average of probabilities settles anything."""

import pytest
import torch

from specdec_cli.ensemble.combiners import Contrastive, LogitSum, WeightedAverage
from specdec_cli.sampling.distribution import Sampling

SURE = torch.tensor([0.9, 0.05, 0.05], dtype=torch.float64).log()
GREEDY = Sampling(0.0)


def test_a_lead_that_the_others_cannot_turn_settles_a_greedy_average():
    settled = WeightedAverage((0.7, 0.3)).settled({0: SURE}, GREEDY)
    assert settled is not None
    assert settled.tolist() == [1, 0, 0]
    assert WeightedAverage((0.5, 0.5)).settled({0: SURE}, GREEDY) is None


@pytest.mark.parametrize(
    ("combiner", "sampling"),
    [
        pytest.param(WeightedAverage((0.9, 0.1)), Sampling(1.0), id="an average that is sampled"),
        pytest.param(LogitSum((0.9, 0.1)), GREEDY, id="a sum of logits"),
        pytest.param(Contrastive(0.1), GREEDY, id="a difference of logits"),
    ],
)
def test_nothing_else_is_settled_before_all_have_spoken(combiner, sampling):
    """The one who is left may make any token the likeliest: its logits have no bound."""
    assert combiner.settled({0: SURE}, sampling) is None
