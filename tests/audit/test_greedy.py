"""The greedy level tells ties from bugs."""

import pytest
import torch

from specdec_cli.audit.greedy import BitCheck, check_bits, check_gaps, chosen, gaps, moved, noise


def test_the_gap_of_the_likeliest_token_is_zero():
    logits = torch.tensor([[1.0, 3.0, 2.5], [0.0, -1.0, 0.0]])
    assert gaps(logits, [1, 0]).tolist() == [0.0, 0.0]
    assert gaps(logits, [2, 1]).tolist() == [0.5, 1.0]


def test_of_equal_logits_greedy_decoding_chooses_the_first():
    logits = torch.tensor([[1.0, 3.0, 2.5], [2.0, -1.0, 2.0]])
    assert [chosen(logits, tokens) for tokens in ([1, 0], [1, 2], [0, 2])] == [2, 1, 0]


def test_rows_that_are_other_bits_are_counted():
    rows = torch.tensor([[1.0, 2.0], [3.0, float("-inf")], [5.0, 6.0]])
    other = rows.clone()
    other[2, 1] = other[2, 1].nextafter(torch.tensor(0.0))
    assert (moved(rows, rows.clone()), moved(rows, other)) == (0, 1)
    assert moved(torch.full((1, 2), torch.nan), torch.full((1, 2), torch.nan)) == 1


@pytest.mark.parametrize(
    ("best", "bits", "passed"),
    [
        (2, BitCheck(0, 2, 0), True),
        (1, BitCheck(0, 2, 0), False),
        (2, BitCheck(1, 2, 0), False),
        (2, BitCheck(0, 2, 1), False),
    ],
)
def test_where_bits_are_promised_nothing_is_excused(best, bits, passed):
    tied = check_gaps(torch.tensor([0.0, 1e-4]), noise=1e-3, ceiling=1e-2)
    assert (tied.identical, tied.passed) == ("up to ties", True)
    found = check_bits(tied, best, bits)
    assert (found.identical, found.best, found.ties, found.wrong) == ("bitwise", best, 0, 2 - best)
    assert found.passed is passed


def test_noise_is_how_far_the_distance_of_two_logits_moves():
    together = torch.tensor([[1.0, 2.0], [5.0, 5.0]])
    assert noise(together, together + 7) == 0
    assert noise(together, together + torch.tensor([[0.0, 0.25], [0.5, 0.5]])) == 0.25
    third = torch.tensor([[0.0, 9.0, 8.0]])
    assert noise(third, third + torch.tensor([[5.0, 0.0, 0.0]])) == 0  # only the two best matter


def test_ties_are_within_the_noise_and_bugs_beyond_it():
    found = check_gaps(torch.tensor([0.0, 0.0, 1e-4, 0.5]), noise=1e-3, ceiling=1e-2)
    assert (found.tokens, found.best, found.ties, found.wrong) == (4, 2, 1, 1)
    assert not found.passed
    assert found.worst == 0.5
    assert found.histogram[-4 + 1] == 1
    assert found.histogram[0] == 2
    assert check_gaps(torch.tensor([0.0, 1e-4]), noise=1e-3, ceiling=1e-2).passed


def test_passes_that_differ_by_more_than_rounding_fail_whatever_the_gaps():
    assert not check_gaps(torch.tensor([0.0, 0.5]), noise=3.0, ceiling=1e-2).passed


def test_what_is_no_number_is_wrong():
    found = check_gaps(torch.tensor([float("nan")] * 3), noise=0.0, ceiling=1e-2)
    assert (found.wrong, found.passed) == (3, False)
    assert not check_gaps(torch.tensor([0.0]), noise=float("nan"), ceiling=1e-2).passed
    assert not check_gaps(torch.zeros(0), noise=0.0, ceiling=1e-2).passed
