"""Where torch splits elementwise work, nothing comes of it."""

from functools import partial

import pytest
import torch
from transformers.activations import ACT2FN

from specdec_cli.models.forward import even_parts
from specdec_cli.models.forward.even_parts import GRAIN, VECTORS, WHOLE, even_length, in_even_parts
from specdec_cli.models.forward.kernels import BY_VECTORS


@pytest.fixture(params=[1, 2, 3, 7])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def alone(work, x):
    """Each row by itself, as a text is read a token at a time."""
    return torch.cat([work(row[None]) for row in x])


def halves(rows, inner):
    """As a gate reads its first half, from memory where the other one stands between two rows."""
    return rows[:, :inner]


@pytest.mark.parametrize("activation", ["silu", "swish", "gelu_pytorch_tanh", "relu", "gelu", "quick_gelu"])
@pytest.mark.parametrize("inner", [48, 1000, 5640, 10_240])
def test_rows_are_what_they_are_alone(threads, inner, activation):
    x = torch.randn(33, 2 * inner, generator=torch.Generator().manual_seed(1)) * 4
    function, by_row = ACT2FN[activation], activation not in BY_VECTORS
    work = in_even_parts(lambda rows: function(halves(rows, inner)), inner, by_row=by_row)
    expected = alone(work, x)
    for count in (1, 2, 4, 22, 33):
        assert torch.equal(work(x[:count]), expected[:count])


def two_formulas(rows, inner, limit, threads):
    """What torch does beyond a limit: stretches for threads, and what a vector lacks by another formula."""
    flat = halves(rows, inner).flatten().clone()
    used = min(threads, -(-len(flat) // limit)) if len(flat) > limit else 1
    for stretch in flat.split(-(-len(flat) // used)):
        stretch[len(stretch) // 16 * 16 :] += 1
    return flat.view(-1, inner)


@pytest.mark.parametrize("limit", [WHOLE, 2 * WHOLE])
@pytest.mark.parametrize("inner", [1600, 4096, 10_240])
def test_a_split_that_shows_in_the_numbers_is_kept_out(threads, inner, limit):
    x = torch.randn(40, 2 * inner)
    plain = partial(two_formulas, inner=inner, limit=limit, threads=threads)
    work = in_even_parts(plain, inner)
    expected = alone(plain, x)
    assert all(torch.equal(work(x[:count]), expected[:count]) for count in range(1, 41))
    if threads in (3, 7) and inner != 1600:  # whose rows are cut between vectors anyway
        assert not all(torch.equal(plain(x[:count]), expected[:count]) for count in range(1, 41))


def test_few_rows_and_even_ones_go_in_one_part():
    assert even_parts._parts(1, 1536, 2) == [1]
    assert even_parts._parts(64, 1536, 2) == [64]
    assert even_parts._parts(16, 1000, 3) == [16]
    assert sum(even_parts._parts(64, 1000, 3)) == 64
    assert even_parts._parts(3, 40_000 + 1, 2) == [1, 1, 1]


@pytest.mark.parametrize("numbers", [1, 64, 100, GRAIN, GRAIN + 1, 100_000, 10**6 + 7])
def test_an_even_length_is_split_between_vectors(threads, numbers):
    length = even_length(numbers)
    used = min(threads, -(-length // GRAIN))
    assert numbers <= length < numbers + 2 * VECTORS * threads
    assert length % (used * VECTORS) == 0
