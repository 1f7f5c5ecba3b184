"""Matrix products with weights laid out once for the processor.

A product by weights in a blocked layout reads them at the memory's speed, and does several rows in little
more time than one: that is what makes speculation pay on a CPU. Laying them out in every pass would cost more
than it saves. Two libraries inside torch can do it, oneDNN on any processor and MKL, which is the faster on
Intel's own for float32 (docs/results.md). torch reaches both through private operations, so their presence
and their results are tried once; where neither works, a plain product is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from specdec_cli.models.forward.batch_invariance import cancelling, invariant, some_rows
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear, SideBySide
from specdec_cli.models.quantization.matrices import Product

WIDE = 8192  # outputs of a product that is tried on itself: some of so many show a difference
FEW = 256  # outputs of a product in low precision that is tried in another's place
PACKED_FOR = 32  # rows that the layout is chosen for; one layout serves any number of rows


class PlainProduct:
    """By torch's own linear."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self._weight, self._bias)


class UnpackedProduct:
    """By oneDNN, with weights as they lie; float32 and bfloat16 on a CPU.

    For weights that come by once: slower than packed ones, and faster than torch's own for float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._multiply = torch.ops.mkldnn._linear_pointwise.default
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = self._multiply(x, self._weight, self._bias, "none", [], "")
        return product


class OneDnnProduct:
    """By oneDNN, with weights in its own layout; float32 and bfloat16 on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._multiply = torch.ops.mkldnn._linear_pointwise.default
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_FOR)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = self._multiply(x, self._packed, self._bias, "none", [], "")
        return product


class MklProduct:
    """By MKL, with weights in its own layout; float32 on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._multiply = torch.ops.mkl._mkl_linear.default
        self._packed = torch.ops.mkl._mkl_reorder_linear_weight(weight.contiguous(), PACKED_FOR)
        self._shape = weight.new_empty(1).expand(weight.shape)  # the operation reads no more of the original
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        product: Tensor = self._multiply(x, self._packed, self._shape, self._bias, x.shape[0])
        return product


Kind = type[PlainProduct] | type[UnpackedProduct] | type[OneDnnProduct] | type[MklProduct]


def fuses(parts: Sequence[nn.Module]) -> bool:
    """Whether `fused` takes them: all alike, and of a kind that it knows."""
    return len({type(part) for part in parts}) == 1 and type(parts[0]) in (nn.Linear, Int8Linear, Int4Linear)


def fused(parts: Sequence[Any]) -> Product:
    """One product in place of several over the same input, their outputs side by side.

    Args:
        parts: linear layers that `fuses` admits.

    Where weights are not packed the parts become views of the joined ones, so that nothing is held twice.
    Packed weights are a second copy beside those of the module, which mostly stay on disk: mapped, not read.
    """
    if not isinstance(parts[0], nn.Linear):
        return quantized_product(type(parts[0]).joined(parts))
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    weight = parts[0].weight if len(parts) == 1 else torch.cat([part.weight for part in parts])
    packed = packing(weight.dtype) if weight.device.type == "cpu" else None
    if packed is not None:
        return dense_product(packed, weight, bias)
    if len(parts) > 1:
        views = torch.split(weight, [part.out_features for part in parts])
        for part, view in zip(parts, views, strict=True):
            part.weight.data = view
    return dense_product(PlainProduct, weight, bias)


def streamed(weight: Tensor, bias: Tensor | None) -> Product:
    """A product by weights as they lie in a buffer."""
    usable = weight.device.type == "cpu" and unpacked_works(weight.dtype)
    return dense_product(UnpackedProduct if usable else PlainProduct, weight, bias)


def dense_product(kind: Kind, weight: Tensor, bias: Tensor | None) -> Product:
    """A product of that kind, on a CPU a batch-invariant one."""
    product = kind(weight, bias)
    if weight.device.type != "cpu":
        return product
    (outputs, inputs), dtype, biased = weight.shape, weight.dtype, bias is not None

    def trial() -> tuple[Product, Tensor]:
        if outputs >= WIDE:
            return product, some_rows(inputs, dtype)
        other, rows = cancelling(outputs, inputs, dtype)
        small = rows[0, :1].expand(outputs) * 2.0**-20  # no larger than the rounding that is to be seen
        return kind(other, small if biased else None), rows

    return invariant(product, (kind, dtype, outputs, inputs, biased), trial)


def quantized_product(part: Int8Linear | Int4Linear | SideBySide) -> Product:
    """A batch-invariant product by weights in 8 or 4 bits."""
    if isinstance(part, SideBySide):
        products = [quantized_product(each) for each in part.parts]
        return lambda x: torch.cat([product(x) for product in products], dim=-1)
    # torch's products in low precision take outputs in blocks of fewer than these, whatever their number.
    outputs, inputs, dtype = min(part.out_features, FEW), part.in_features, part.dtype
    if isinstance(part, Int8Linear):
        trial = partial(_trial_int8, outputs, inputs, dtype)
        return invariant(part.product(), ("int8", outputs, inputs, dtype), trial)
    group, computed_in = part.group, part.grid.dtype
    trial = partial(_trial_int4, outputs, inputs, group, computed_in, dtype)
    return invariant(part.product(), ("int4", outputs, inputs, group, computed_in, dtype), trial)


def _trial_int8(outputs: int, inputs: int, dtype: torch.dtype) -> tuple[Product, Tensor]:
    whole, rows = _cancelling_numbers(outputs, inputs)
    return Int8Linear(whole.to(torch.int8), torch.ones(outputs), None, dtype).product(), rows.to(dtype)


def _trial_int4(
    outputs: int, inputs: int, group: int, computed_in: torch.dtype, dtype: torch.dtype
) -> tuple[Product, Tensor]:
    whole, rows = _cancelling_numbers(outputs, inputs)
    scale = torch.ones(inputs // group, outputs)
    numbers = (whole + 8, scale, torch.zeros_like(scale))
    return Int4Linear.from_whole(*numbers, None, None, computed_in, dtype).product(), rows.to(dtype)


def _cancelling_numbers(outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
    """As `batch_invariance.cancelling`, with whole numbers from -8 to 7 for weights."""
    weight, rows = cancelling(outputs, inputs, torch.bfloat16)
    return (weight * 3).round().clamp_(-8, 7), rows


@cache
def packing(dtype: torch.dtype) -> Kind | None:
    """The packed product to use for weights of the type on this CPU, if any."""
    if dtype == torch.float32 and torch._C.has_mkl and _is_intel() and works(MklProduct, dtype):
        return MklProduct
    if dtype in (torch.float32, torch.bfloat16) and works(OneDnnProduct, dtype):
        return OneDnnProduct
    return None


def works(product: Kind, dtype: torch.dtype) -> bool:
    """Whether this torch has the product, and it is right for few rows and for many."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weight, bias = torch.randn(48, 40, dtype=dtype), torch.randn(48, dtype=dtype)
        inputs = [torch.randn(rows, 40, dtype=dtype) for rows in (1, 2, 7, PACKED_FOR, 4 * PACKED_FOR + 1)]
    try:
        packed = product(weight, bias)
        pairs = [(packed(x), linear(x, weight, bias)) for x in inputs]
    except (AttributeError, RuntimeError, TypeError):
        return False
    return all(torch.allclose(found.float(), right.float(), atol=0.1, rtol=0.02) for found, right in pairs)


@cache
def unpacked_works(dtype: torch.dtype) -> bool:
    """Whether `UnpackedProduct` is to be had for weights of the type on this CPU."""
    return dtype in (torch.float32, torch.bfloat16) and works(UnpackedProduct, dtype)


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
