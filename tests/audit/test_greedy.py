"""The greedy level tells ties from bugs."""

import torch

from specdec_cli.audit.greedy import check_gaps, gaps, noise


def test_the_gap_of_the_likeliest_token_is_zero():
    logits = torch.tensor([[1.0, 3.0, 2.5], [0.0, -1.0, 0.0]])
    assert gaps(logits, [1, 0]).tolist() == [0.0, 0.0]
    assert gaps(logits, [2, 1]).tolist() == [0.5, 1.0]


def test_noise_is_how_far_the_distance_of_two_logits_moves():
    together = torch.tensor([[1.0, 2.0], [5.0, 5.0]])
    assert noise(together, together + 7) == 0
    assert noise(together, together + torch.tensor([[0.0, 0.25], [0.5, 0.5]])) == 0.25


def test_ties_are_within_the_noise_and_bugs_beyond_it():
    found = check_gaps(torch.tensor([0.0, 0.0, 1e-4, 0.5]), noise=1e-3)
    assert (found.tokens, found.best, found.ties, found.wrong) == (4, 2, 1, 1)
    assert not found.passed
    assert found.worst == 0.5
    assert found.histogram[-4 + 1] == 1
    assert found.histogram[0] == 2
    assert check_gaps(torch.tensor([0.0, 1e-4]), noise=1e-3).passed
