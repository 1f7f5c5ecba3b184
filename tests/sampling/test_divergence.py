"""How far a draft is from the target, against the definitions written out token by token."""

import math

import pytest
import torch

from specdec_cli.sampling.divergence import agreement, cross_entropy, overlap, total_variation


@pytest.fixture
def pair():
    """The target's probabilities and the draft's logits, (5, 7); the target's last row misses some mass."""
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    target /= target.sum(-1, keepdim=True)
    target[-1] *= 0.8
    return target, 3 * torch.randn(5, 7, generator=generator, dtype=torch.float64)


def probabilities(logits):
    powers = [math.exp(logit) for logit in logits.tolist()]
    return [power / sum(powers) for power in powers]


def test_cross_entropy_is_minus_the_mean_of_the_drafts_log_probabilities(pair):
    for wanted, logits, found in zip(*pair, cross_entropy(*pair), strict=True):
        draft = probabilities(logits)
        expected = -sum(p * math.log(q) for p, q in zip(wanted.tolist(), draft, strict=True))
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_total_variation_is_what_rejection_refuses(pair):
    for wanted, logits, found in zip(*pair, total_variation(*pair), strict=True):
        accepted = sum(map(min, wanted.tolist(), probabilities(logits)))
        assert float(found) == pytest.approx(1 - accepted, abs=1e-12)


def test_a_draft_that_is_the_target_has_no_variation_and_the_entropy_of_the_target():
    target = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    assert float(total_variation(target, target.log())) == pytest.approx(0, abs=1e-12)
    assert float(cross_entropy(target, target.log())) == pytest.approx(1.5 * math.log(2), abs=1e-12)


@pytest.mark.parametrize(("count", "expected"), [(1, [True, False, False]), (2, [True, True, False])])
def test_agreement_is_of_the_targets_first_choice_with_the_drafts_best(count, expected):
    target = torch.tensor([[0.0, 2.0, 1.0]] * 3)
    draft = torch.tensor([[0.0, 3.0, 1.0], [3.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    assert agreement(target, draft, count).tolist() == expected


def test_overlap_is_the_mass_that_both_share():
    target, draft = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.3, 0.6]])
    assert float(overlap(target, draft)) == pytest.approx(0.6)
