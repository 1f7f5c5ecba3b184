"""Weights in 4 bits on disk: the nearest that can be said in them, and what the processor's product reads."""

import pytest
import torch
from torch import nn

from specdec_cli.models.quantization.int4_format import names_of_4_bits
from specdec_cli.models.quantization.int4_weights import FourBits
from specdec_cli.models.quantization.linear import Int4Linear


@pytest.fixture
def weight():
    return torch.randn(32, 96, generator=torch.Generator().manual_seed(3))


def test_no_weight_is_further_off_than_half_a_step(weight):
    """Steps and offsets are bfloat16 themselves, which adds at most 16 / 256 of a step and of the offset."""
    groups = weight.view(32, 3, 32)
    step = (groups.amax(-1) - groups.amin(-1)) / 15
    slack = step / 2 + 8 * step / 256 + (groups.amin(-1) + 8 * step).abs() / 256
    off = (FourBits.quantized(weight).dense().view(32, 3, 32) - groups).abs()
    assert bool((off <= slack[..., None] + 1e-6).all())


def test_a_file_holds_four_bits_a_weight_and_gives_the_same_back(weight):
    made = FourBits.quantized(weight)
    file = made.stored("a.weight")
    assert file["a.weight.whole"].numel() * 2 == weight.numel()
    assert names_of_4_bits(file) == ["a.weight"]
    assert torch.equal(FourBits.read(file, "a.weight").dense(), made.dense())


def test_the_product_multiplies_by_the_weights_that_the_file_stands_for(weight):
    linear = nn.Linear(96, 32, bias=False)
    linear.weight.data = weight
    made = FourBits.quantized(weight)
    for product in (Int4Linear.of(made), Int4Linear.quantized(linear)):
        torch.testing.assert_close(product.dense(), made.dense(), atol=1e-6, rtol=1e-6)


def test_half_of_a_matrix_is_none(weight):
    file = FourBits.quantized(weight).stored("a.weight")
    del file["a.weight.grid"]
    with pytest.raises(KeyError):
        FourBits.read(file, "a.weight")
