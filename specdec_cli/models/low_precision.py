"""Weights in 8 or 4 bits, multiplied by torch's own operations.

Only the weights lose precision; activations are bfloat16 inside a product, except by GPTQ's numbers in a
float32 model. Such a model is another model: as a target it has another law than the full one, and as a draft
it changes nothing but the acceptance rate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.forward.base import Product
from specdec_cli.models.four_bits import GROUP, FourBits, fits_4_bits
from specdec_cli.models.reduced_head import ReducedHead

JOINS_AT = 64  # packed 4-bit rows lie in blocks of at most this many; only whole blocks can be joined


class Int8Linear(nn.Module):
    """x @ (weight * scale).T + bias, with whole numbers of 8 bits and one scale for each output.

    Args:
        weight: (N, K) int8.
        scale: (N,).
        bias: (N,) or None.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Buffer(weight)
        self.scale = nn.Buffer(scale.bfloat16())
        self.bias = None if bias is None else nn.Buffer(bias)
        self.out_features, self.in_features = weight.shape

    @classmethod
    def rounded(cls, linear: nn.Linear) -> Int8Linear:
        """The nearest whole numbers, where the largest weight of an output is 127."""
        weight = linear.weight.float()
        scale = (weight.abs().amax(1).clamp_min(1e-12) / 127).bfloat16().float()
        whole = (weight / scale[:, None]).round_().clamp_(-127, 127)
        return cls(whole.to(torch.int8), scale, linear.bias)

    @classmethod
    def joined(cls, parts: Sequence[Int8Linear]) -> Int8Linear:
        """One product in place of several over the same input, their outputs side by side."""
        if len(parts) == 1:
            return parts[0]
        bias = _joined_bias(parts)
        weight, scale = torch.cat([part.weight for part in parts]), torch.cat([part.scale for part in parts])
        for part, view in zip(parts, torch.split(weight, [part.out_features for part in parts]), strict=True):
            part.weight = nn.Buffer(view)  # so that nothing is held twice
        return cls(weight, scale, bias)

    def dense(self) -> Tensor:
        """The weights that it stands for: (N, K)."""
        return self.weight.float() * self.scale.float()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return _of_any_shape(self.product(), x)

    def product(self) -> Product:
        """The product alone, rows (n, K) to (n, N), without what a call of a module costs."""
        weight, scale, bias = self.weight, self.scale, self.bias
        product = torch.ops.aten._weight_int8pack_mm.default

        def multiply(x: Tensor) -> Tensor:
            return _plus(product(x.bfloat16(), weight, scale).to(x.dtype), bias)

        return multiply


class Int4Linear(nn.Module):
    """x @ weight.T + bias, with whole numbers of 4 bits, and a scale and an offset for each group of inputs.

    Args:
        packed: (N, K / 2) as torch's 4-bit product wants it.
        grid: (K / group, N, 2) scale and offset; a number q stands for (q - 8) * scale + offset. Products are
            computed in its number format, bfloat16 or float32.
        bias: (N,) or None.
        order: (K,) the inputs in the order of the groups, or None where they stand in order.
    """

    def __init__(
        self, packed: Tensor, grid: Tensor, bias: Tensor | None, order: Tensor | None = None
    ) -> None:
        super().__init__()
        self.packed = nn.Buffer(packed)
        self.grid = nn.Buffer(grid)
        self.bias = None if bias is None else nn.Buffer(bias)
        self.order = None if order is None else nn.Buffer(order)
        self.out_features, self.in_features = packed.shape[0], 2 * packed.shape[1]
        self.group = self.in_features // grid.shape[0]

    @classmethod
    def from_whole(
        cls,
        whole: Tensor,
        scale: Tensor,
        offset: Tensor,
        bias: Tensor | None,
        order: Tensor | None = None,
        computed_in: torch.dtype = torch.bfloat16,
    ) -> Int4Linear:
        """From whole numbers (N, K) from 0 to 15, and scale and offset (K / group, N)."""
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole.to(torch.int32), 1)
        return cls(packed, torch.stack((scale, offset), -1).to(computed_in), bias, order)

    @classmethod
    def rounded(cls, linear: nn.Linear) -> Int4Linear:
        """The nearest of 16 even steps from the least to the greatest weight of each group of 32 inputs."""
        return cls.of(FourBits.rounded(linear.weight), linear.bias)

    @classmethod
    def of(cls, weight: FourBits, bias: Tensor | None = None) -> Int4Linear:
        """A product by weights that are in 4 bits already."""
        return cls.from_whole(weight.whole, weight.scale.T, weight.offset.T, bias)

    @classmethod
    def joined(cls, parts: Sequence[Int4Linear]) -> Int4Linear | SideBySide:
        """One product in place of several over the same input, their outputs side by side."""
        if len(parts) == 1:
            return parts[0]
        if any(part.out_features % JOINS_AT or part.order is not None for part in parts):
            return SideBySide(parts)
        bias = _joined_bias(parts)
        packed, grid = torch.cat([part.packed for part in parts]), torch.cat([part.grid for part in parts], 1)
        for part, view in zip(parts, torch.split(packed, [part.out_features for part in parts]), strict=True):
            part.packed = nn.Buffer(view)  # so that nothing is held twice
        return cls(packed, grid, bias)

    def dense(self) -> Tensor:
        """The weights that it stands for: (N, K)."""
        unit = torch.stack((torch.ones_like(self.grid[..., 0]), torch.zeros_like(self.grid[..., 1])), -1)
        eye = torch.eye(self.in_features, dtype=self.grid.dtype)
        whole = torch.ops.aten._weight_int4pack_mm_for_cpu(eye, self.packed, self.group, unit).T.float()
        scale, offset = self.grid.float().repeat_interleave(self.group, 0).permute(2, 1, 0)
        weight: Tensor = whole * scale + offset
        return weight if self.order is None else weight[:, self.order.argsort()]

    def forward(self, x: Tensor) -> Tensor:
        return _of_any_shape(self.product(), x)

    def product(self) -> Product:
        """As `Int8Linear.product`."""
        packed, group, grid, bias, order = self.packed, self.group, self.grid, self.bias, self.order
        product = torch.ops.aten._weight_int4pack_mm_for_cpu.default

        def multiply(x: Tensor) -> Tensor:
            rows = (x if order is None else x[:, order]).to(grid.dtype)
            return _plus(product(rows, packed, group, grid).to(x.dtype), bias)

        return multiply


class SideBySide:
    """Several products over the same input, their outputs side by side."""

    def __init__(self, parts: Sequence[Int4Linear]) -> None:
        self._parts = parts

    def product(self) -> Product:
        """As `Int8Linear.product`."""
        products = [part.product() for part in self._parts]
        return lambda x: torch.cat([product(x) for product in products], dim=-1)


KINDS: dict[str, type[Int8Linear] | type[Int4Linear]] = {"int8": Int8Linear, "int4": Int4Linear}


def require_cpu(kind: str, device: torch.device) -> None:
    """Check that products of this kind can be had where the model goes.

    Raises:
        InputError: they cannot.
    """
    if device.type != "cpu":
        hint = "Choose --device cpu, or leave the weights as they are."
        raise InputError(f"{kind} weights are for models on the CPU, not on {device}.", hint)


def low_precision_twin(model: Any, kind: str) -> Any:
    """A model of lower precision beside the original, which keeps its weights; what is not rounded is shared.

    Raises:
        MismatchError: as `lower_precision`.
    """
    twin = copy.deepcopy(model, {id(each): each for each in (*model.parameters(), *model.buffers())})
    lower_precision(twin, kind)
    return twin


def lower_precision(model: Any, kind: str) -> None:
    """Replace a model's matrix products, in place; embedding and norms stay as they are.

    The head takes 8 bits in either kind: it is much of a small model's bytes, and 4 would cost accuracy.

    Args:
        model: a causal language model on the CPU.
        kind: "int8" or "int4".

    Raises:
        MismatchError: the model has no linear layer that can be replaced.
    """
    if not lower_products(model.get_decoder(), kind):
        hint = "Choose --quantize none for it."
        raise MismatchError(f"No layer of this {model.config.model_type} model can be held in {kind}.", hint)
    head = model.get_output_embeddings()
    if isinstance(head, ReducedHead):
        head.inner = Int8Linear.rounded(head.inner)
    elif type(head) is nn.Linear:
        model.set_output_embeddings(Int8Linear.rounded(head))


def lower_products(module: Any, kind: str) -> int:
    """Replace the matrix products inside a module that `kind` can hold, in place: how many there were."""
    replaced = 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if fits_linear(child, kind):
                setattr(parent, name, KINDS[kind].rounded(child))
                replaced += 1
    return replaced


def fits_linear(module: nn.Module, kind: str) -> bool:
    """Whether a module is a matrix product that can be held in that precision."""
    return type(module) is nn.Linear and _shape_fits(kind, module.in_features, module.out_features)


def _shape_fits(kind: str, inputs: int, outputs: int) -> bool:
    return kind == "int8" or fits_4_bits(inputs, outputs)


def _joined_bias(parts: Sequence[Any]) -> Tensor | None:
    return None if parts[0].bias is None else torch.cat([part.bias for part in parts])


def _of_any_shape(product: Product, x: Tensor) -> Tensor:
    """A product of rows, of all rows in x (..., K)."""
    return product(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)


def _plus(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias


def bytes_in(kind: str, shape: Sequence[int], dtype: torch.dtype) -> int:
    """Bytes that a weight of this shape takes where matrices are held in `kind` and the rest in `dtype`."""
    numbers = math.prod(shape)
    if len(shape) != 2 or not _shape_fits(kind, shape[1], shape[0]):
        return numbers * dtype.itemsize
    scales = 2 * shape[0] if kind == "int8" else 4 * numbers // GROUP
    return scales + (numbers if kind == "int8" else numbers // 2)
