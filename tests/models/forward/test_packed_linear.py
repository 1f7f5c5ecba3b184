"""Products are batch-invariant, whatever library and number format: found out, not assumed."""

import pytest
import torch
from torch import nn

from specdec_cli.models.forward import packed_linear
from specdec_cli.models.forward.batch_invariance import (
    LARGE,
    MOST,
    SMALL,
    CallSizes,
    InvariantProduct,
    cancelling,
    invariant,
)
from specdec_cli.models.forward.packed_linear import (
    MklProduct,
    OneDnnProduct,
    PlainProduct,
    UnpackedProduct,
    dense_product,
    fused,
    works,
)
from specdec_cli.models.quantization.linear import KINDS

PRODUCTS = (PlainProduct, UnpackedProduct, OneDnnProduct, MklProduct)
SHAPES = [(64, 96), (37, 24), (160, 1536), (48, 2048)]


def weights(shape, dtype):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(shape, generator=generator).to(dtype), torch.randn(shape[0], generator=generator).to(
        dtype
    )


def all_alike(product, rows):
    """Whether a row is the same alone, among any others, and in any place among them."""
    alone = torch.cat([product(row[None].clone()) for row in rows])
    for count in (2, 3, 5, 8, 17, 33, 64, 81, 130):
        if not torch.equal(product(rows[:count].clone()), alone[:count]):
            return False
    return torch.equal(product(rows.flip(0)).flip(0), alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize("biased", [True, False])
def test_a_row_is_the_same_beside_any_others(kind, shape, dtype, biased):
    if kind is not PlainProduct and not works(kind, dtype):
        pytest.skip("this torch lacks it")
    weight, bias = weights(shape, dtype)
    rows = torch.randn(130, shape[1], generator=torch.Generator().manual_seed(3)).to(dtype)
    product = dense_product(kind, weight, bias if biased else None)
    assert all_alike(product, rows)
    expected = rows.double() @ weight.double().T + (bias.double() if biased else 0)
    torch.testing.assert_close(product(rows).double(), expected, atol=0.3, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS.values())
def test_so_it_is_in_8_and_4_bits(kind, dtype):
    parts = [kind.quantized(nn.Linear(96, size, dtype=dtype).requires_grad_(False)) for size in (64, 48)]
    rows = torch.randn(130, 96, generator=torch.Generator().manual_seed(3)).to(dtype)
    assert all_alike(fused(parts), rows)


def noisy(least):
    """A product of which rows among fewer than `least`, or among more than 16, are computed otherwise."""

    def product(x):
        if len(x) > 16:
            return x * (1 + len(x) * 2.0**-20)
        return x if len(x) >= least else x * (1 - 2.0**-20)

    return product


@pytest.mark.parametrize("least", SMALL)
def test_call_sizes_are_found_by_trying(least):
    rows = torch.randn(MOST, 5)
    sizes = CallSizes()
    made = {count: sizes.way(count, lambda: (noisy(least), rows)) for count in (1, 3, 8, 16, 17, 70, 200)}
    assert 16 in LARGE
    for count, way in made.items():
        assert count <= sum(way) < count + least * len(way)
        assert all(least <= size <= 16 for size in way)
    assert made[16] == (16,)


def test_where_nothing_agrees_rows_go_one_by_one():
    def product(x):
        return x * (1 + len(x) * 2.0**-20)

    rows = torch.randn(MOST, 5)
    wrapped = invariant(product, "nothing agrees", lambda: (product, rows))
    assert all_alike(wrapped, torch.randn(130, 5))


def twins(weight, column):
    """The other columns that hold the same numbers: (N, k)."""
    same = (weight == weight[:, column, None]).all(0)
    same[column] = False
    return weight[:, same]


@pytest.mark.parametrize("inputs", [40, 41])
def test_what_products_are_tried_on_is_nothing_but_rounding(inputs):
    weight, rows = cancelling(200, inputs, torch.bfloat16)
    assert weight.shape == (200, inputs)
    assert rows.shape == (MOST, inputs)
    products = weight.double() @ rows.double().T
    alone = [
        column for column in range(inputs) if not (weight[:, column, None] == twins(weight, column)).any()
    ]
    assert len(alone) == inputs % 2
    assert float((products - weight[:, alone].double() @ rows[:, alone].double().T).abs().max()) < 1e-12


def test_packing_is_left_where_a_library_lacks_it(monkeypatch):
    monkeypatch.setattr(packed_linear, "works", lambda *_: False)
    packed_linear.packing.cache_clear()
    assert packed_linear.packing(torch.float32) is None
    packed_linear.packing.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_second_model_of_the_same_shape_goes_in_as_few_calls(dtype):
    wide = (8192, 64)
    one, other = (dense_product(PlainProduct, torch.randn(wide).to(dtype), None) for _ in range(2))
    rows = torch.randn(24, 64).to(dtype)
    for first in (rows[:1], rows[:5]):
        one(first)
    assert isinstance(other, InvariantProduct)
    assert len(other._sizes.way(24, other._trial)) < 4
