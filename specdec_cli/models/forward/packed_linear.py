"""Matrix products with weights laid out once for the processor.

A product by weights in a blocked layout reads them at the memory's speed, and does several rows in little
more time than one: that is what makes speculation pay on a CPU. Laying them out in every pass would cost more
than it saves. Two libraries inside torch can do it, oneDNN on any processor and MKL, which is the faster on
Intel's own for float32 (docs/results.md). torch reaches both through private operations, so their presence
and their results are tried once; where neither works, a plain product is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear
from specdec_cli.models.quantization.matrices import Product

PACKED_FOR = 32  # rows that the layout is chosen for; one layout serves any number of rows


class PlainProduct:
    """By torch's own linear."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self._weight, self._bias)


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
        low: Product = type(parts[0]).joined(parts).product()
        return low
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    weight = parts[0].weight if len(parts) == 1 else torch.cat([part.weight for part in parts])
    packed = packing(weight.dtype) if weight.device.type == "cpu" else None
    if packed is not None:
        return packed(weight, bias)
    if len(parts) > 1:
        views = torch.split(weight, [part.out_features for part in parts])
        for part, view in zip(parts, views, strict=True):
            part.weight.data = view
    return PlainProduct(weight, bias)


@cache
def packing(dtype: torch.dtype) -> type[OneDnnProduct] | type[MklProduct] | None:
    """The packed product to use for weights of the type on this CPU, if any."""
    if dtype == torch.float32 and torch._C.has_mkl and _is_intel() and works(MklProduct, dtype):
        return MklProduct
    if dtype in (torch.float32, torch.bfloat16) and works(OneDnnProduct, dtype):
        return OneDnnProduct
    return None


def works(product: type[OneDnnProduct] | type[MklProduct], dtype: torch.dtype) -> bool:
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


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
