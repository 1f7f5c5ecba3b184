"""Seeded chance has the law it is asked for and depends on nothing but seed and key."""

import pytest
import torch
from scipy import stats

from specdec_cli.errors import NotFiniteError
from specdec_cli.sampling import randomness as module
from specdec_cli.sampling.randomness import SeededRandomness, accepting, drafting, emitting

DRAWS = 10_000


def test_noise_of_a_token_does_not_depend_on_which_others_are_drawn():
    chance = SeededRandomness(5)
    everything = chance.exponentials(torch.arange(1000), emitting(3))
    some = torch.tensor([999, 0, 17])
    assert chance.exponentials(some, emitting(3)).tolist() == everything[some].tolist()


def test_tensor_and_integer_arithmetic_mix_alike():
    values = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x123456789ABCDEF0]
    signed = torch.tensor([module._signed(value) for value in values])
    assert [value % 2**64 for value in module._mix_tensor(signed).tolist()] == [
        module._mix(v) for v in values
    ]


def test_noise_is_exponential():
    noise = SeededRandomness(1).exponentials(torch.arange(DRAWS), emitting(0))
    assert stats.kstest(noise.numpy(), "expon").pvalue > 1e-3
    assert noise.min() > 0


def test_noise_of_neighbouring_positions_and_seeds_is_unrelated():
    tokens = torch.arange(DRAWS)
    noise = [
        SeededRandomness(seed).exponentials(tokens, key)
        for seed, key in ((1, emitting(0)), (1, emitting(1)), (2, emitting(0)), (1, drafting(0, 0)))
    ]
    for first in range(4):
        for second in range(first):
            assert abs(stats.spearmanr(noise[first], noise[second]).statistic) < 5 / DRAWS**0.5


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
@pytest.mark.parametrize("keyed", [emitting, lambda position: drafting(position, 0)], ids=["emit", "draft"])
def test_categorical_draws_follow_the_distribution(seed, keyed):
    probs = torch.tensor([0.5, 0.0, 0.25, 0.2, 0.05])
    chance = SeededRandomness(seed)
    drawn = torch.bincount(
        torch.tensor([chance.categorical(probs, keyed(position)) for position in range(DRAWS)]),
        minlength=5,
    )
    assert drawn[1] == 0
    possible = probs > 0
    assert stats.chisquare(drawn[possible].numpy(), (probs[possible].double() * DRAWS).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_made_together_are_those_made_one_by_one(dtype):
    torch.manual_seed(0)
    probs = torch.rand(50, 33, dtype=dtype) * (torch.rand(50, 33) < 0.4)
    probs[7] = 0
    keys = [drafting(row, 3, row % 4) for row in range(50)]
    chance = SeededRandomness(8)
    together = chance.categoricals(probs, keys).tolist()  # of a row of nothing too, which nobody looks at
    for row in (row for row in range(50) if row != 7):
        assert together[row] == chance.categorical(probs[row], keys[row])
    with pytest.raises(NotFiniteError, match="or nothing"):
        chance.categorical(probs[7], keys[7])


def test_bernoulli_draws_follow_their_probability():
    chance = SeededRandomness(3)
    for probability in (0.1, 0.5, 0.93):
        hits = sum(chance.bernoulli(probability, accepting(position, 0)) for position in range(DRAWS))
        assert stats.binomtest(hits, DRAWS, probability).pvalue > 1e-3


def test_bernoulli_is_certain_at_both_ends():
    chance = SeededRandomness(4)
    keys = [accepting(position, 0) for position in range(1000)]
    assert not any(chance.bernoulli(0.0, key) for key in keys)
    assert all(chance.bernoulli(1.0, key) and chance.bernoulli(7.5, key) for key in keys)


def test_a_certain_token_is_drawn_whatever_the_noise():
    probs = torch.tensor([0.0, 0.0, 1.0])
    for key in (emitting(0), drafting(0, 0)):
        assert {SeededRandomness(seed).categorical(probs, key) for seed in range(50)} == {2}


def test_the_largest_number_still_finds_a_possible_token(monkeypatch):
    monkeypatch.setattr(SeededRandomness, "_uniform", lambda self, key: 1 - 2**-52)
    for total in (1.0, 1.3, 1.9999, 0.7):
        probs = torch.tensor([0.6, 0.4, 0.0], dtype=torch.float64) * total
        assert SeededRandomness(0).categorical(probs, drafting(0, 0)) == 1


def test_every_part_of_a_key_matters():
    chance = SeededRandomness(9)
    keys = [
        emitting(5), emitting(6), accepting(5, 0), accepting(5, 1), accepting(5, 0, 1), accepting(5, 1, 1),
        drafting(5, 0), drafting(5, 1), drafting(5, 0, 1), drafting(6, 0), accepting(6, 5),
    ]  # fmt: skip
    assert len({float(chance.exponentials(torch.tensor([0]), key)) for key in keys}) == len(keys)


def test_rare_tokens_keep_their_share_of_a_large_vocabulary():
    """Coarse noise would never draw the tail: here half of the mass lies on tokens of 1e-5 each."""
    probs = torch.full((50_001,), 0.5 / 50_000)
    probs[0] = 0.5
    chance = SeededRandomness(11)
    tail = sum(chance.categorical(probs, emitting(position)) > 0 for position in range(1000))
    assert stats.binomtest(tail, 1000, 0.5).pvalue > 1e-3
