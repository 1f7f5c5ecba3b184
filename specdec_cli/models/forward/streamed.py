"""The fused pass over layers that are streamed: products by weights as they lie in a buffer.

Laying streamed weights out anew in every pass would cost more than the better layout saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.fused_weights import (
    FIRST_NORM,
    FusedWeights,
    LayerWeights,
    around_layers,
    layer_products,
    layer_weights,
    norm_scale,
    of_family,
)
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.kernels import Kernels
from specdec_cli.models.forward.packed_linear import streamed
from specdec_cli.models.hf.architectures import architecture_of
from specdec_cli.models.offload.stream import LayerStream, Tensors
from specdec_cli.models.offload.tensor_index import TensorLocation, read_tensor
from specdec_cli.models.quantization.matrices import Product


def streamed_forward(model: Any, stream: LayerStream, kernels: Kernels | None = None) -> Forward:
    """The fastest pass over a model whose layers are streamed, with a cache of its own.

    Args:
        model: of a `Skeleton` that the stream is attached to.
        stream: of its layers.
        kernels: compiled kernels for its shape, if there are any.
    """
    if not of_family(model):
        return HFForward(model)
    return FusedForward(model, kernels, _weights(model, stream))


def _weights(model: Any, stream: LayerStream) -> FusedWeights:
    architecture, device = architecture_of(model.config), model.model.embed_tokens.weight.device
    # The sum that leaves a layer is normalised for the next one before that is asked for.
    firsts: list[TensorLocation] = [
        layout.locations[f"{FIRST_NORM}.weight"] for layout in stream.layouts.values()
    ]
    before = [norm_scale(read_tensor(location, stream.dtype).to(device), architecture) for location in firsts]
    head = streamed(model.lm_head.weight, model.lm_head.bias)
    return around_layers(model, _StreamedLayers(model, stream), before, head)


class _StreamedLayers:
    """Each layer as its weights come by."""

    def __init__(self, model: Any, stream: LayerStream) -> None:
        self._stream, self._architecture = stream, architecture_of(model.config)
        layer = model.model.layers[0]
        names = {id(module): name for name, module in layer.named_modules()}
        self._products = [[names[id(part)] for part in parts] for parts in layer_products(layer)]

    def __len__(self) -> int:
        return len(self._stream.layouts)

    def __iter__(self) -> Iterator[LayerWeights]:
        for number in range(len(self)):
            with self._stream.use(number) as tensors:
                yield self._layer(tensors)

    def _layer(self, tensors: Tensors) -> LayerWeights:
        qkv, out, gate_up, down = (_product(tensors, parts) for parts in self._products)
        norms = {name.removesuffix(".weight"): tensor for name, tensor in tensors.items()}
        return layer_weights(norms, (qkv, out, gate_up, down), self._architecture)


def _product(tensors: Tensors, parts: Sequence[str]) -> Product:
    products = [streamed(tensors[f"{part}.weight"], tensors.get(f"{part}.bias")) for part in parts]
    return products[0] if len(products) == 1 else _SideBySide(products)


class _SideBySide:
    """Several products over the same input, their outputs side by side."""

    def __init__(self, products: Sequence[Product]) -> None:
        self._products = products

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([product(x) for product in self._products], dim=-1)
