"""What a Llama-like layer does between its matrix products.

Each is a module without weights, so that one serves all layers; `compiled.py` makes native code of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from specdec_cli.models.forward.even_parts import in_even_parts

# Activations of which torch computes a row by one formula whatever lies beside it; of GELU by the error
# function, for one, another library computes a single row.
BY_VECTORS = ("silu", "swish", "gelu_pytorch_tanh", "relu")


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
class Scores:
    """What the queries of a key head have in common with the keys, and by which keys they count.

    Attributes:
        all: (key heads, m, seen) logarithms to base 2, computed in place.
        even: (k,) the same memory and what stands behind it, of an `even_parts.even_length`.
        hidden: (key heads, m, j) the last of them, which the mask is for.
        mask: additive, (m, j); None if all are visible.
    """

    all: Tensor
    even: Tensor
    hidden: Tensor
    mask: Tensor | None


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels, as modules or compiled; arguments and results as in the modules' `forward`.

    Attributes:
        weigh: turns scores into weights, in place.
        whole_masks: whether `weigh` needs a mask, and one of all keys.
    """

    add_norm: Callable[..., tuple[Tensor, Tensor]]
    rotate: Callable[..., Tensor]
    weigh: Callable[[Scores], Any]
    gate: Callable[[Tensor], Tensor]
    whole_masks: bool = False


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
        cache: Tensor,
        query_norm: Tensor,
        key_norm: Tensor,
        chosen: Tensor,
    ) -> Tensor:
        """The queries in the order that is asked for: (m, head size).

        Args:
            qkv: (n, (heads + 2 * key heads) * head size), not used again by the caller.
            cosines: (n, 1, head size) of the rows' positions.
            sines: likewise, the first half negative.
            rows: (n,) where in the cache the new keys and values go.
            cache: (2 * key heads, capacity, head size) one layer's keys and then values, written to; all is
                computed in its number format.
            query_norm: (head size,) scale, read where the model normalises heads.
            key_norm: likewise.
            chosen: (m,) the queries, by row * (heads + 2 * key heads) + head.
        """
        shape = self._shape
        turned = shape.heads + shape.key_heads
        heads = qkv.view(qkv.shape[0], -1, shape.head_size)
        if shape.normed_heads:
            queries, keys, values = heads.tensor_split((shape.heads, turned), 1)
            queries, keys = normed(queries, query_norm, shape.eps), normed(keys, key_norm, shape.eps)
            heads = torch.cat((queries, keys, values), 1)
        heads = heads.to(cache.dtype)
        rotated = heads[:, :turned]
        swapped = rotated.roll(shape.head_size // 2, -1)
        rotated.mul_(cosines).addcmul_(swapped, sines)
        cache.index_copy_(1, rows, heads[:, shape.heads :].transpose(0, 1))
        return heads.view(-1, shape.head_size).index_select(0, chosen)


class Weigh(nn.Module):
    """How much each row takes of each value, not divided by their sum yet: written out for a compiler."""

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Turn scores (key heads, m, seen) in place into weights, of which the largest of a row is 1.

        Args:
            scores: logarithms to base 2.
            mask: additive, (m, seen); every row sees one key at least.
        """
        masked = scores + mask
        return scores.copy_((masked - masked.amax(-1, keepdim=True)).exp2())


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
    gate = in_even_parts(Gate(shape).forward, shape.inner, by_row=shape.activation not in BY_VECTORS)
    return Kernels(AddNorm(shape).forward, Rotate(shape).forward, weigh, gate)


def weigh(scores: Scores) -> None:
    """As `Weigh.forward`, where nothing is masked without a mask."""
    if scores.mask is not None:
        scores.hidden.add_(scores.mask)
    scores.all.sub_(scores.all.amax(-1, keepdim=True))
    scores.even.exp2_()


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation of the last dimension, in float32 at least.

    A scale that is wider than x is applied before the result is rounded to x's format, as Gemma does.
    """
    if weight.dtype == x.dtype:
        return rms_norm(x, weight.shape, None, eps).mul_(weight)
    return rms_norm(x.to(weight.dtype), weight.shape, weight, eps).to(x.dtype)
