"""Numbers that no distribution follows from are refused; numbers at the edge of their format are not."""

import math

import pytest
import torch

from specdec_cli.errors import NotFiniteError
from specdec_cli.sampling.batch import draw_tokens
from specdec_cli.sampling.distribution import Sampling, distribution, likeliest, require_finite, residual
from specdec_cli.sampling.randomness import SeededRandomness, drafting, emitting

BROKEN = {
    "one NaN": [1.0, math.nan, 0.0],
    "all NaN": [math.nan] * 3,
    "infinitely good": [1.0, math.inf, 0.0],
    "two infinitely good": [math.inf, math.inf, 0.0],
    "nothing possible": [-math.inf] * 3,
    "NaN beside an infinity": [math.nan, math.inf, -math.inf],
}
SAMPLINGS = [
    Sampling(0.0),
    Sampling(1e-31),
    Sampling(1e-20),
    Sampling(),
    Sampling(0.7, top_k=2),
    Sampling(1.0, top_p=0.5),
    Sampling(1.0, min_p=0.1),
]
FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("logits", BROKEN.values(), ids=BROKEN)
def test_logits_that_are_no_numbers_give_no_distribution(logits, dtype, sampling):
    with pytest.raises(NotFiniteError):
        distribution(torch.tensor(logits, dtype=dtype), sampling)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("logits", BROKEN.values(), ids=BROKEN)
def test_logits_that_are_no_numbers_are_not_ranked(logits, temperature):
    with pytest.raises(NotFiniteError):
        likeliest(torch.tensor([logits]), 2, temperature)


@pytest.mark.parametrize("logits", BROKEN.values(), ids=BROKEN)
def test_one_broken_row_among_sound_ones_is_found(logits):
    rows = torch.zeros(4, 3)
    rows[2] = torch.tensor(logits)
    with pytest.raises(NotFiniteError, match="draft in float16"):
        require_finite(rows, "draft in float16")
    with pytest.raises(NotFiniteError):
        distribution(rows, Sampling())
    with pytest.raises(NotFiniteError):
        draw_tokens(rows, torch.ones(4), torch.Generator())


def test_impossible_tokens_among_possible_ones_are_allowed():
    logits = torch.tensor([-math.inf, 0.0, 0.0])
    require_finite(logits, "a model")
    assert distribution(logits, Sampling()).tolist() == [0.0, 0.5, 0.5]
    assert distribution(logits, Sampling(0.0)).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("temperature", [1e-29, 1e-20, 1e-8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_temperature_so_low_that_logits_overflow_is_certain_of_the_likeliest(temperature, dtype):
    largest = torch.finfo(dtype).max
    logits = torch.tensor([largest / 4, largest / 2, -largest / 2], dtype=dtype)
    assert distribution(logits, Sampling(temperature)).tolist() == [0.0, 1.0, 0.0]
    assert likeliest(logits[None], 1, temperature)[1].tolist() == [[1]]


@pytest.mark.parametrize("top_p", [1e-46, 5e-324])
@pytest.mark.parametrize("vocab_size", [3, 1000])
def test_a_nucleus_smaller_than_float32_can_say_keeps_the_likeliest_token(top_p, vocab_size):
    logits = torch.zeros(vocab_size)
    logits[1] = 1.0
    assert distribution(logits, Sampling(1.0, top_p=top_p)).nonzero().tolist() == [[1]]


@pytest.mark.parametrize("key", [emitting(3), drafting(3, 3)], ids=["emit", "draft"])
@pytest.mark.parametrize("probs", [[0.0, 0.0], [0.5, math.nan], [math.inf, 0.5], [math.nan, math.nan]])
def test_nothing_is_drawn_from_what_is_no_distribution(probs, key):
    with pytest.raises(NotFiniteError):
        SeededRandomness(0).categorical(torch.tensor(probs), key)


def test_what_is_no_probability_never_happens():
    assert not any(SeededRandomness(seed).bernoulli(math.nan, emitting(0)) for seed in range(50))


def test_a_proposal_of_nan_takes_nothing_off_the_target():
    target = torch.tensor([0.25, 0.75])
    assert residual(target, torch.tensor([math.nan, 0.5])).tolist() == target.tolist()
