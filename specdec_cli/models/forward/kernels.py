"""What a Llama-like layer does between its matrix products.

Each is a module without weights, so that one serves all layers; `compiled.py` makes native code of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the kernels of a model.

    Attributes:
        hidden: numbers in a row of the residual stream.
        inner: numbers in a row of the gated product.
        heads, key_heads, head_size: shape of the attention.
        eps: what normalisation adds to the mean square.
        normed_heads: whether queries and keys are normalised before they are rotated.
        activation: name of the gate's activation in transformers.
        wide_scales: whether the scales of norms are wider than the weights.
    """

    hidden: int
    inner: int
    heads: int
    key_heads: int
    head_size: int
    eps: float
    normed_heads: bool
    activation: str
    wide_scales: bool


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels, as modules or compiled; arguments and results as in the modules' `forward`.

    `attend` is None where torch's own attention is the better one.
    """

    add_norm: Callable[..., tuple[Tensor, Tensor]]
    rotate: Callable[..., Tensor]
    gate: Callable[[Tensor], Tensor]
    attend: Callable[..., Tensor] | None = None


class AddNorm(nn.Module):
    """Add to the residual stream, and normalise the sum for the product that follows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._eps = shape.eps

    def forward(self, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """x, y (n, hidden) and the scale (hidden,) to the sum and its normalisation, each (n, hidden)."""
        x = x + y
        return x, normed(x, weight, self._eps)


class Rotate(nn.Module):
    """Rotate queries and keys by their positions, and put keys and values into the cache."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape

    def forward(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        rows: Tensor,
        keys: Tensor,
        values: Tensor,
        query_norm: Tensor,
        key_norm: Tensor,
    ) -> Tensor:
        """The queries as (1, key heads, group * n, head size): those that share a key head side by side.

        Args:
            qkv: (n, (heads + 2 * key heads) * head size).
            cosines: (n, 1, head size) of the rows' positions.
            sines: likewise.
            rows: (n,) where in the cache the new keys and values go.
            keys: (key heads, capacity, head size) one layer's cache, written to.
            values: likewise.
            query_norm: (head size,) scale, read where the model normalises heads.
            key_norm: likewise.
        """
        shape = self._shape
        first_value = shape.heads + shape.key_heads
        heads = qkv.view(qkv.shape[0], -1, shape.head_size)
        rotated = heads[:, :first_value]
        if shape.normed_heads:
            queries = normed(heads[:, : shape.heads], query_norm, shape.eps)
            keys_alone = normed(heads[:, shape.heads : first_value], key_norm, shape.eps)
            rotated = torch.cat((queries, keys_alone), 1)
        first, second = rotated.chunk(2, dim=-1)
        rotated = torch.addcmul(rotated * cosines, torch.cat((-second, first), dim=-1), sines)
        keys.index_copy_(1, rows, rotated[:, shape.heads :].transpose(0, 1))
        values.index_copy_(1, rows, heads[:, first_value:].transpose(0, 1))
        return rotated[:, : shape.heads].transpose(0, 1).reshape(1, shape.key_heads, -1, shape.head_size)


class Attend(nn.Module):
    """All of a layer's attention between its products, written out for a compiler.

    One call in place of some ten operations: with few rows these cost more than the attention itself.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape
        self._rotate = Rotate(shape)

    def forward(self, rotated: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """What the heads saw, side by side: (n, heads * head size).

        Args:
            rotated: the arguments of `Rotate.forward`.
            mask: additive, (1, 1, group * n, seen rows); every row sees one at least.
        """
        shape = self._shape
        queries, (qkv, _, _, _, keys, values, *_) = self._rotate(*rotated)[0], rotated
        count, seen = qkv.shape[0], mask.shape[3]
        scores = torch.bmm(queries, keys[:, :seen].transpose(1, 2)) * shape.head_size**-0.5 + mask[0]
        weights = (scores - scores.amax(-1, keepdim=True)).exp()
        # Divided by their sum after the product, whose rows are shorter than those of the weights.
        mixed: Tensor = torch.bmm(weights, values[:, :seen]) / weights.sum(-1, keepdim=True)
        mixed = mixed.view(shape.key_heads, -1, count, shape.head_size)
        return mixed.permute(2, 0, 1, 3).reshape(count, -1)


class Gate(nn.Module):
    """The gated activation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from transformers.activations import ACT2FN

        self._activation = ACT2FN[shape.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2 * inner), the gate's half first, to (n, inner)."""
        gate, up = x.chunk(2, dim=-1)
        product: Tensor = self._activation(gate).mul_(up)
        return product


def eager_kernels(shape: Shape) -> Kernels:
    """The kernels as they stand, one torch operation after another."""
    return Kernels(AddNorm(shape).forward, Rotate(shape).forward, Gate(shape).forward)


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation of the last dimension, in float32 at least.

    A scale that is wider than x is applied before the result is rounded to x's format, as Gemma does.
    """
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    scale = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    if weight.dtype == wide.dtype:
        return (wide * scale).mul_(weight).to(x.dtype)
    return (wide * scale).to(x.dtype).mul_(weight)
