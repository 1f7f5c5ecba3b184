"""Where torch splits elementwise work, nothing comes of it."""

import pytest
import torch
from torch.nn.functional import silu

from specdec_cli.models.forward import even_parts
from specdec_cli.models.forward.even_parts import GRAIN, VECTORS, even_length, in_even_parts


@pytest.fixture(params=[1, 2, 3, 5, 7])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def alone(work, x):
    """Each row by itself, as a text is read a token at a time."""
    return torch.cat([work(row[None]) for row in x])


@pytest.mark.parametrize("inner", [48, 1536, 1000, 4321, 40_000])
def test_rows_are_what_they_are_alone(threads, inner):
    x = torch.randn(60, 2 * inner, generator=torch.Generator().manual_seed(1)) * 4
    work = in_even_parts(lambda rows: silu(rows[:, :inner]), inner)
    expected = alone(work, x)
    for count in (1, 2, 7, 21, 22, 33, 60):
        assert torch.equal(work(x[:count]), expected[:count])


def test_few_rows_and_even_ones_go_in_one_part():
    assert even_parts._parts(1, 1536, 2) == [1]
    assert even_parts._parts(64, 1536, 2) == [64]
    assert even_parts._parts(21, 1000, 3) == [21]
    assert sum(even_parts._parts(64, 1000, 3)) == 64
    assert even_parts._parts(3, 40_000 + 1, 2) == [1, 1, 1]


@pytest.mark.parametrize("numbers", [1, 64, 100, GRAIN, GRAIN + 1, 100_000, 10**6 + 7])
def test_an_even_length_is_split_between_vectors(threads, numbers):
    length = even_length(numbers)
    used = min(threads, -(-length // GRAIN))
    assert numbers <= length < numbers + 2 * VECTORS * threads
    assert length % (used * VECTORS) == 0
