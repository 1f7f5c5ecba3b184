"""Weights in 8 or 4 bits, multiplied by torch's own operations.

Only the weights lose precision; activations are bfloat16 inside a product, except by GPTQ's numbers in a
float32 model. Such a model is another model: as a target it has another law than the full one, and as a draft
it changes nothing but the acceptance rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.quantization.int4_format import fits_4_bits
from specdec_cli.models.quantization.int4_weights import FourBits
from specdec_cli.models.quantization.matrices import Product, linear_of, matrix_of
from specdec_cli.models.quantization.shapes import evenly, shape_fits

JOINS_AT = 64  # packed 4-bit rows lie in blocks of at most this many; only whole blocks can be joined


class Int8Linear(nn.Module):
    """x @ (whole * scale).T + bias, with whole numbers of 8 bits and one scale for each output.

    torch's product is right where its blocks divide the matrix evenly, and blocks differ between processors:
    any other matrix is held with rows and columns of zeros beside it.

    Args:
        whole: (N, K) int8.
        scale: (N,).
        bias: (N,) or None.
        dtype: of the weights that it stands for.
    """

    def __init__(
        self, whole: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = whole.shape
        rows, columns = evenly(whole.shape)
        lacking = 0, columns - self.in_features, 0, rows - self.out_features
        self.whole = nn.Buffer(pad(whole, lacking) if any(lacking) else whole.contiguous())
        self.scale = nn.Buffer(pad(scale.bfloat16(), lacking[2:]) if lacking[3] else scale.bfloat16())
        self.bias = None if bias is None else nn.Buffer(bias)
        self.dtype = dtype

    @classmethod
    def quantized(cls, linear: nn.Module) -> Int8Linear:
        """The nearest whole numbers, where the largest weight of an output is 127.

        Raises:
            SpecdecError: there are weights that are no finite numbers.
        """
        weight, bias, dtype = _read(linear)
        scale = (weight.abs().amax(1).clamp_min(1e-12) / 127).bfloat16().float()
        require_finite(scale)
        whole = (weight / scale[:, None]).round_().clamp_(-127, 127)
        return cls(whole.to(torch.int8), scale, bias, dtype)

    @classmethod
    def joined(cls, parts: Sequence[Int8Linear]) -> Int8Linear:
        """One product in place of several over the same input, their outputs side by side."""
        if len(parts) == 1:
            return parts[0]
        whole = torch.cat([part.numbers() for part in parts])
        scale = torch.cat([part.scale[: part.out_features] for part in parts])
        joined = cls(whole, scale, _joined_bias(parts), parts[0].dtype)
        if all(part.whole.shape == (part.out_features, part.in_features) for part in parts):
            views = torch.split(joined.whole[: len(whole)], [part.out_features for part in parts])
            for part, view in zip(parts, views, strict=True):
                part.whole = nn.Buffer(view)  # so that nothing is held twice
        return joined

    def numbers(self) -> Tensor:
        """The whole numbers without what lies around them: (N, K) int8."""
        return self.whole[: self.out_features, : self.in_features]

    def dense(self) -> Tensor:
        """The weights that it stands for: (N, K) float32."""
        return self.numbers().float() * self.scale[: self.out_features].float()[:, None]

    @property
    def weight(self) -> Tensor:
        """As `dense`, in the number format that they had: for modules that read it past the product."""
        return self.dense().to(self.dtype)

    def first_outputs(self, count: int) -> Int8Linear:
        """The product of the first `count` outputs alone; what can be shared is."""
        bias = None if self.bias is None else self.bias[:count]
        return Int8Linear(self.numbers()[:count], self.scale[:count], bias, self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return _of_any_shape(self.product(), x, self.out_features)

    def product(self) -> Product:
        """The product alone, rows (n, K) to (n, N), without what a call of a module costs."""
        whole, scale, bias, outputs = self.whole, self.scale, self.bias, self.out_features
        product = torch.ops.aten._weight_int8pack_mm.default
        lacking = 0, whole.shape[1] - self.in_features
        spare = len(whole) - outputs

        def multiply(x: Tensor) -> Tensor:
            rows = x.bfloat16().contiguous()
            out = product(pad(rows, lacking) if lacking[1] else rows, whole, scale)
            out = out[:, :outputs].contiguous() if spare else out
            return _plus(out.to(x.dtype), bias)

        return multiply


class Int4Linear(nn.Module):
    """x @ weight.T + bias, with whole numbers of 4 bits, and a scale and an offset for each group of inputs.

    Args:
        packed: (N, K / 2) as torch's 4-bit product wants it.
        grid: (K / group, N, 2) scale and offset; a number q stands for (q - 8) * scale + offset. Products are
            computed in its number format, bfloat16 or float32.
        bias: (N,) or None.
        order: (K,) the inputs in the order of the groups, or None where they stand in order.
        dtype: of the weights that it stands for.
    """

    def __init__(
        self,
        packed: Tensor,
        grid: Tensor,
        bias: Tensor | None,
        order: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.packed = nn.Buffer(packed)
        self.grid = nn.Buffer(grid)
        self.bias = None if bias is None else nn.Buffer(bias)
        self.order = None if order is None else nn.Buffer(order)
        self.out_features, self.in_features = packed.shape[0], 2 * packed.shape[1]
        self.group = self.in_features // grid.shape[0]
        self.dtype = dtype

    @classmethod
    def from_whole(
        cls,
        whole: Tensor,
        scale: Tensor,
        offset: Tensor,
        bias: Tensor | None,
        order: Tensor | None = None,
        computed_in: torch.dtype = torch.bfloat16,
        dtype: torch.dtype = torch.float32,
    ) -> Int4Linear:
        """From whole numbers (N, K) from 0 to 15, and scale and offset (K / group, N).

        Raises:
            ValueError: torch has no product for that shape; ask `fits_4_bits` first.
        """
        if not fits_4_bits(whole.shape[1], len(whole), whole.shape[1] // len(scale)):
            raise ValueError(f"no 4-bit product for {tuple(whole.shape)} in {len(scale)} groups")
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole.to(torch.int32), 1)
        grid = torch.stack((scale, offset), -1).to(computed_in)
        return cls(packed, grid, bias, order, dtype)

    @classmethod
    def quantized(cls, linear: nn.Module) -> Int4Linear:
        """The nearest of 16 even steps from the least to the greatest weight of each group of 32 inputs.

        Raises:
            SpecdecError: there are weights that are no finite numbers.
        """
        weight, bias, dtype = _read(linear)
        four = FourBits.quantized(weight)
        require_finite(four.scale + four.offset)
        return cls.of(four, bias, dtype)

    @classmethod
    def of(
        cls, weight: FourBits, bias: Tensor | None = None, dtype: torch.dtype = torch.float32
    ) -> Int4Linear:
        """A product by weights that are in 4 bits already."""
        return cls.from_whole(weight.whole, weight.scale.T, weight.offset.T, bias, dtype=dtype)

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
        return cls(packed, grid, bias, dtype=parts[0].dtype)

    def dense(self) -> Tensor:
        """The weights that it stands for: (N, K)."""
        scale, offset = self.grid.float().repeat_interleave(self.group, 0).permute(2, 1, 0)
        weight: Tensor = self._centred() * scale + offset
        return weight if self.order is None else weight[:, self.order.argsort()]

    def _centred(self) -> Tensor:
        """The whole numbers less 8: (N, K) float32. The product alone knows where they lie."""
        unit = torch.stack((torch.ones_like(self.grid[..., 0]), torch.zeros_like(self.grid[..., 1])), -1)
        eye = torch.eye(self.in_features, dtype=self.grid.dtype)
        whole: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(eye, self.packed, self.group, unit)
        return whole.T.float()

    @property
    def weight(self) -> Tensor:
        """As `Int8Linear.weight`."""
        return self.dense().to(self.dtype)

    def first_outputs(self, count: int) -> Int4Linear | nn.Linear:
        """The product of the first `count` outputs alone, dense where torch has none in 4 bits."""
        bias = None if self.bias is None else self.bias[:count]
        if not fits_4_bits(self.in_features, count, self.group):
            return linear_of(self.weight[:count], bias)
        whole, (scale, offset) = self._centred()[:count] + 8, self.grid[:, :count].unbind(-1)
        return Int4Linear.from_whole(whole, scale, offset, bias, self.order, self.grid.dtype, self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return _of_any_shape(self.product(), x, self.out_features)

    def product(self) -> Product:
        """As `Int8Linear.product`."""
        packed, group, grid, bias, order = self.packed, self.group, self.grid, self.bias, self.order
        product = torch.ops.aten._weight_int4pack_mm_for_cpu.default

        def multiply(x: Tensor) -> Tensor:
            rows = (x if order is None else x[:, order]).to(grid.dtype).contiguous()
            return _plus(product(rows, packed, group, grid).to(x.dtype), bias)

        return multiply


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Several products over the same input that cannot be joined, their outputs to lie side by side."""

    parts: Sequence[Int4Linear]


KINDS: dict[str, type[Int8Linear] | type[Int4Linear]] = {"int8": Int8Linear, "int4": Int4Linear}


def require_cpu(kind: str, device: torch.device) -> None:
    """Check that products of this kind can be had where the model goes.

    Raises:
        InputError: they cannot.
    """
    if device.type != "cpu":
        hint = "Choose --device cpu, or leave the weights as they are."
        raise InputError(f"{kind} weights are for models on the CPU, not on {device}.", hint)


def fits_linear(module: nn.Module, kind: str) -> bool:
    """Whether a module is a matrix product that can be held in that precision."""
    weight = matrix_of(module)
    return weight is not None and shape_fits(kind, weight.shape)


def require_finite(numbers: Tensor) -> None:
    """Check what a matrix is quantized by.

    Raises:
        SpecdecError: a weight was infinite or no number, or so large that its steps cannot be said.
    """
    if not bool(torch.isfinite(numbers).all()):
        problem = "The model has weights that are infinite, no numbers, or too large to be rounded."
        raise SpecdecError(problem, "Check the checkpoint, or load it without --quantize.")


def _read(linear: nn.Module) -> tuple[Tensor, Tensor | None, torch.dtype]:
    """The weight (N, K) float32, the bias and the number format of a product that `fits_linear`."""
    weight = matrix_of(linear)
    assert weight is not None
    bias: Tensor | None = linear.bias  # type: ignore[assignment]
    return weight.float(), bias, weight.dtype


def _joined_bias(parts: Sequence[Any]) -> Tensor | None:
    return None if parts[0].bias is None else torch.cat([part.bias for part in parts])


def _of_any_shape(product: Product, x: Tensor, outputs: int) -> Tensor:
    """A product of rows, of all rows in x (..., K): (..., outputs)."""
    return product(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], outputs)


def _plus(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias
