"""A chain is drawn from the draft at the target's sampling, and remembers what it was drawn from."""

import pytest
import torch

from specdec_cli.audit.toys import ToyDraftModel, ToyLaw
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import SeededRandomness

CHANCE = SeededRandomness(3)


def test_each_token_carries_the_distribution_it_was_drawn_from():
    law, sampling = ToyLaw(5, 1), Sampling(0.6, top_p=0.9)
    drafter = ChainDrafter(ToyDraftModel(law), 4, sampling, 5)
    drafter.begin([2, 0])
    tree = drafter.propose(2, 10, CHANCE)
    assert tree.is_chain
    for node in range(4):
        expected = distribution(law([2, 0, *tree.tokens[:node]]).log(), sampling)
        torch.testing.assert_close(tree.proposals[node], expected)
        assert expected[tree.tokens[node]] > 0


@pytest.mark.parametrize(
    ("gamma", "depth", "context", "length"),
    [(4, 9, 99, 4), (4, 2, 99, 2), (4, 9, 5, 3), (4, 0, 99, 0), (4, 9, 2, 0)],
)
def test_the_shortest_limit_holds_and_the_last_guess_is_not_read(gamma, depth, context, length):
    model = ToyDraftModel(ToyLaw(3, 1), context)
    drafter = ChainDrafter(model, gamma, Sampling(), 3)
    drafter.begin([0, 1])
    assert len(drafter.propose(2, depth, CHANCE)) == length
    assert model.passes == length
