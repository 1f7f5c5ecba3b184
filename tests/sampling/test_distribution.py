"""Logits become the distribution that the definitions say, checked against a slow reading of them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec_cli.sampling import distribution as module
from specdec_cli.sampling.distribution import Distributions, Sampling, distribution, likeliest, residual


def by_definition(logits, sampling):
    """The four filters in plain Python, one token at a time."""
    if sampling.temperature == 0:
        best = max(range(len(logits)), key=lambda token: (logits[token], -token))
        return [float(token == best) for token in range(len(logits))]
    top = max(logits)
    probs = [math.exp((logit - top) / sampling.temperature) for logit in logits]
    probs = [prob / sum(probs) for prob in probs]
    order = sorted(range(len(probs)), key=lambda token: -probs[token])
    if sampling.top_k:
        last = probs[order[min(sampling.top_k, len(order)) - 1]]
        probs = [prob if prob >= last else 0.0 for prob in probs]
        probs = [prob / sum(probs) for prob in probs]
    if sampling.top_p < 1:
        mass, kept = 0.0, set()
        for token in order:
            if mass < sampling.top_p:
                kept.add(token)
            mass += probs[token]
        probs = [prob if token in kept else 0.0 for token, prob in enumerate(probs)]
        probs = [prob / sum(probs) for prob in probs]
    if sampling.min_p:
        floor = sampling.min_p * max(probs)
        probs = [prob if prob >= floor else 0.0 for prob in probs]
        probs = [prob / sum(probs) for prob in probs]
    return probs


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.0]),
    top_k=st.integers(0, 12),
    top_p=st.sampled_from([0.05, 0.31, 0.62, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.013, 0.2, 1.0]),
)
distinct_logits = st.lists(st.integers(-900, 900), min_size=1, max_size=10, unique=True).map(
    lambda values: [value / 97 for value in values]
)


@settings(max_examples=300, deadline=None)
@given(logits=distinct_logits, sampling=samplings, guess=st.sampled_from([1, 2, 512]))
def test_distribution_is_what_its_definition_says(logits, sampling, guess):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NUCLEUS_GUESS", guess)
        probs = distribution(torch.tensor(logits, dtype=torch.float64), sampling)
    expected = torch.tensor(by_definition(logits, sampling), dtype=torch.float64)
    torch.testing.assert_close(probs, expected, atol=1e-12, rtol=0)


def test_the_likeliest_token_survives_any_nucleus():
    logits = torch.tensor([0.7, 0.2, 0.06, 0.03, 0.01]).log()
    probs = distribution(logits, Sampling(top_p=0.9))
    torch.testing.assert_close(probs, torch.tensor([7 / 9, 2 / 9, 0, 0, 0]))


def test_half_precision_logits_become_float32_and_double_stays_double():
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        for temperature in (0.0, 1.0):
            assert distribution(torch.zeros(2, 5, dtype=dtype), Sampling(temperature)).dtype == expected


def test_rows_are_filtered_one_by_one():
    logits = torch.randn(6, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampling = Sampling(0.8, top_k=12, top_p=0.7, min_p=0.05)
    together = distribution(logits, sampling)
    lazily = Distributions(logits, sampling)
    for row in range(6):
        torch.testing.assert_close(together[row], lazily[row], atol=1e-15, rtol=0)


def test_the_callers_logits_are_left_alone():
    logits = torch.tensor([3.0, 1.0, 2.0])
    for sampling in (Sampling(0.0), Sampling(1.0, top_p=0.5), Sampling(0.5, top_k=1), Sampling(min_p=0.9)):
        distribution(logits, sampling)
        likeliest(logits, 2, sampling.temperature)
    assert logits.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_likeliest_are_the_best_log_probabilities(temperature):
    logits = torch.randn(3, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    log_probs, tokens = likeliest(logits, 4, temperature)
    expected = (logits / (temperature or 1.0)).log_softmax(-1).sort(descending=True)
    torch.testing.assert_close(log_probs, expected.values[:, :4])
    assert tokens.tolist() == expected.indices[:, :4].tolist()


def test_likeliest_offers_the_whole_vocabulary_at_most():
    assert likeliest(torch.zeros(2, 3), 9, 1.0)[1].shape == (2, 3)


def test_residual_is_the_mass_left_uncovered():
    target, proposal = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.1, 0.7])
    torch.testing.assert_close(residual(target, proposal), torch.tensor([0.6, 0.4, 0.0]))


def test_an_empty_residual_is_the_target():
    target = torch.tensor([0.25, 0.75])
    assert residual(target, target.clone()).tolist() == target.tolist()


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"min_p": 1.5}])
def test_a_sampling_outside_its_range_is_refused(bad):
    with pytest.raises(ValueError, match="not a sampling"):
        Sampling(**bad)
