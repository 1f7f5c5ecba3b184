"""Matrices of any size and any numbers: the operators only ever see what every processor's blocks divide."""

import pytest
import torch
from torch import nn

from specdec_cli.errors import SpecdecError
from specdec_cli.models.quantization.int4_format import fits_4_bits
from specdec_cli.models.quantization.int4_weights import FourBits
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear, fits_linear
from specdec_cli.models.quantization.shapes import EVEN_COLUMNS, EVEN_ROWS, evenly, low_bytes

KINDS = [Int8Linear, Int4Linear]
ODD = [(1, 1), (8, 16), (24, 48), (30, 15), (33, 16), (32, 17), (63, 97), (100, 259)]  # inputs, outputs


def some_linear(inputs, outputs, bias=True, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias, dtype=dtype).requires_grad_(False)


def require_even(low):
    """Before the operator is called: it may end the process where a matrix is of another size."""
    assert low.whole.shape[0] % EVEN_ROWS == low.whole.shape[1] % EVEN_COLUMNS == 0
    assert low.whole.is_contiguous()
    assert low.scale.shape == low.whole.shape[:1]


@pytest.mark.parametrize(("inputs", "outputs"), ODD)
@pytest.mark.parametrize("bias", [True, False])
def test_an_8_bit_layer_of_odd_size_multiplies_by_the_weights_it_stands_for(inputs, outputs, bias):
    linear = some_linear(inputs, outputs, bias)
    low = Int8Linear.quantized(linear)
    require_even(low)
    assert low.dense().shape == (outputs, inputs)
    x = torch.randn(5, inputs).bfloat16().float()
    expected = x @ low.dense().T + (linear.bias if bias else 0)
    torch.testing.assert_close(low(x), expected, atol=0.02, rtol=0.02)
    assert low(x).is_contiguous()  # compiled kernels rely on it


@pytest.mark.parametrize("outputs", [(16, 32), (15, 17, 1), (48, 7)])
@pytest.mark.parametrize("inputs", [64, 40])
def test_8_bit_layers_of_odd_sizes_are_joined(inputs, outputs):
    parts = [Int8Linear.quantized(some_linear(inputs, each)) for each in outputs]
    alone = [part.dense() for part in parts]
    joined = Int8Linear.joined(parts)
    for each in (joined, *parts):
        require_even(each)
    assert torch.equal(joined.dense(), torch.cat(alone))
    assert all(torch.equal(part.dense(), before) for part, before in zip(parts, alone, strict=True))


@pytest.mark.parametrize(
    ("shape", "even"), [((16, 32), (16, 32)), ((1, 1), (16, 32)), ((50257, 768), (50272, 768))]
)
def test_sizes_grow_to_the_next_that_divide_evenly(shape, even):
    assert evenly(shape) == even
    assert low_bytes("int8", shape) == even[0] * even[1] + 2 * even[0]


@pytest.mark.parametrize(
    ("inputs", "outputs", "group", "fits"),
    [
        (64, 16, 32, True), (256, 48, 256, True), (64, 16, 16, False), (512, 16, 512, False),
        (48, 16, 32, False), (64, 24, 32, False), (64, 8, 32, False), (0, 16, 32, False), (64, 0, 32, False),
    ],
)  # fmt: skip
def test_4_bit_sizes_that_torch_has_no_product_for_are_known_before(inputs, outputs, group, fits):
    assert fits_4_bits(inputs, outputs, group) is fits
    if fits or not inputs or not outputs:
        return
    whole, grid = torch.zeros(outputs, inputs), torch.ones(max(inputs // group, 1), outputs)
    with pytest.raises(ValueError, match="no 4-bit product"):
        Int4Linear.from_whole(whole, grid, grid, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shape", [(64,), (0, 64), (3, 64), (2, 3, 64), (1, 0, 64)])
def test_inputs_of_any_format_and_number_of_rows_are_taken(kind, dtype, shape):
    low = kind.quantized(some_linear(64, 48, dtype=dtype))
    x = torch.randn(shape).to(dtype)
    found = low(x)
    assert found.dtype == dtype
    assert found.shape == (*shape[:-1], 48)
    expected = x.float() @ low.dense().T + low.bias.float()
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inputs_that_do_not_lie_in_one_piece_are_taken(kind, dtype):
    low = kind.quantized(some_linear(64, 32, dtype=dtype))
    x = torch.randn(5, 128).to(dtype)
    for view in (x[:, ::2], torch.randn(64, 5).to(dtype).T):
        assert torch.equal(
            low.product()(view), low.product()(view.clone(memory_format=torch.contiguous_format))
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_no_finite_numbers_are_refused(kind, value, dtype):
    linear = some_linear(64, 32, dtype=dtype)
    linear.weight[3, 40] = value
    with pytest.raises(SpecdecError, match="infinite, no numbers"):
        kind.quantized(linear)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros_and_of_one_value_stay_so(kind):
    linear = some_linear(64, 32, bias=False)
    linear.weight[3], linear.weight[4] = 0, 0.75
    dense = kind.quantized(linear).dense()
    torch.testing.assert_close(dense[3], torch.zeros(64), atol=1e-10, rtol=0)
    torch.testing.assert_close(dense[4], torch.full((64,), 0.75), atol=0, rtol=4e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outlier", [1e4, 1e30])
def test_an_outlier_is_kept_and_harms_its_own_row_or_group_alone(kind, outlier):
    linear = some_linear(64, 32, bias=False)
    usual = kind.quantized(linear).dense()
    linear.weight[3, 40] = outlier
    dense = kind.quantized(linear).dense()
    assert abs(dense[3, 40] / outlier - 1) < 0.01
    others = torch.arange(32) != 3
    assert torch.equal(dense[others], usual[others])
    if kind is Int4Linear:
        assert torch.equal(dense[3, :32], usual[3, :32])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_sources_are_rounded_as_the_numbers_that_they_are(kind, dtype):
    source = some_linear(64, 32, bias=False, dtype=dtype)
    wide = some_linear(64, 32, bias=False)
    wide.weight.copy_(source.weight)
    low = kind.quantized(source)
    assert torch.equal(low.dense(), kind.quantized(wide).dense())
    assert low.weight.dtype == dtype  # for modules that read it past the product
    assert torch.equal(low.weight, low.dense().to(dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [16, 20])
def test_the_first_outputs_are_those_of_the_whole(kind, count):
    low = kind.quantized(some_linear(64, 48))
    first = low.first_outputs(count)
    x = torch.randn(5, 64).bfloat16().float()
    torch.testing.assert_close(first(x), low(x)[:, :count], atol=0.02, rtol=0.02)
    assert first.out_features == count


def test_a_layer_that_4_bits_cannot_hold_is_none_for_them():
    assert not fits_linear(some_linear(48, 16), "int4")
    assert fits_linear(some_linear(48, 16), "int8")
    assert not fits_linear(nn.LayerNorm(16), "int8")


def test_parts_of_4_bits_in_a_file_give_the_product_back():
    linear = some_linear(64, 32, bias=False)
    four = FourBits.quantized(linear.weight)
    assert torch.equal(Int4Linear.of(four).dense(), Int4Linear.quantized(linear).dense())
