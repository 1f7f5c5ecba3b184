"""A model whose decoder layers hold no weights of their own: they borrow them for the time they compute."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specdec_cli.errors import InputError
from specdec_cli.models.hf.checkpoint import is_quantized, read_generation_config
from specdec_cli.models.hf.decoder_layers import stack_path
from specdec_cli.models.hf.weight_map import (
    Recipe,
    empty_model,
    made_shapes,
    map_weights,
    number_format,
    put_weight,
    tie,
)
from specdec_cli.models.offload.layout import Layout, Merge, lay_out
from specdec_cli.models.offload.stream import LayerStream, Tensors
from specdec_cli.models.offload.tensor_index import TensorLocation, read_locations, read_tensor

Shapes = Mapping[str, tuple[int, ...]]


class Skeleton:
    """A model without weights, and where they all are.

    Args:
        folder: of the checkpoint.
        config: its configuration.
        dtype: number format to compute in.
        trust_remote_code: run Python code that comes with the model.

    Attributes:
        model: the Hugging Face model, its weights on the meta device, its computed tables real.
        layers: its decoder layers.
        layouts: of the decoder layers, by number.
        unused: tensors of the checkpoint that the model has no place for.

    Raises:
        InputError: the checkpoint is of a kind that layers cannot be read from.
        MismatchError: the model's layers cannot be told apart.
        SpecdecError: the checkpoint is damaged or incomplete.
    """

    def __init__(self, folder: Path, config: Any, dtype: torch.dtype, trust_remote_code: bool) -> None:
        if is_quantized(config):
            problem = f"The checkpoint in {folder} is quantised, and only plain weights are streamed."
            raise InputError(problem, "Choose the unquantised checkpoint, or leave out --offload.")
        self._locations = read_locations(folder)
        self.dtype = dtype
        self.model = empty_model(config, dtype, trust_remote_code)
        read_generation_config(self.model, folder)
        path = ".".join(stack_path(self.model))
        self.layers: nn.ModuleList = self.model.get_submodule(path)
        found = map_weights(self.model, self._locations, folder)
        self.unused, self._missing = found.unused, found.missing
        shapes = {name: location.shape for name, location in self._locations.items()}
        made = [(recipe, made_shapes(recipe, shapes)) for recipe in found.recipes]
        self._rest = [each for each in made if not each[0].target.startswith(f"{path}.")]
        self.layouts = {
            number: self._lay_out(f"{path}.{number}.", made) for number in range(len(self.layers))
        }

    def _lay_out(self, prefix: str, made: Iterable[tuple[Recipe, Shapes]]) -> Layout:
        """The layout of the layer whose weights' names begin so."""
        locations: dict[str, TensorLocation] = {}
        merges, names = [], []
        for recipe, shapes in made:
            if not recipe.target.startswith(prefix):
                continue
            names += list(shapes)
            if recipe.converter is None:
                locations[recipe.target.removeprefix(prefix)] = self._locations[recipe.pieces[0]]
            else:
                locations |= {piece: self._locations[piece] for piece in recipe.pieces}
                merges.append(_merge(recipe, shapes, prefix))
        formats = {name: number_format(self.model, name, self.dtype) for name in names}
        kept = {name.removeprefix(prefix): each for name, each in formats.items() if each != self.dtype}
        return lay_out(locations, tuple(merges), kept)

    def rest_bytes(self) -> int:
        """Bytes of the weights outside the decoder layers, once they are loaded."""
        return sum(
            math.prod(shape) * number_format(self.model, name, self.dtype).itemsize
            for _, shapes in self._rest
            for name, shape in shapes.items()
        )

    def load_rest(self, device: torch.device) -> None:
        """Read the weights outside the decoder layers, and tie what is tied."""
        for recipe, _ in self._rest:
            dtype = number_format(self.model, recipe.target, self.dtype)
            tensors = {piece: read_tensor(self._locations[piece], dtype) for piece in recipe.pieces}
            for name, tensor in recipe.make(tensors).items():
                put_weight(self.model, name, tensor.to(device))
        tie(self.model, self._missing)
        for module in self.model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and not buffer.is_meta:
                    module._buffers[name] = buffer.to(device)

    def attach(self, stream: LayerStream) -> None:
        """Let every decoder layer borrow its weights from the stream whenever it computes."""
        for number, layer in enumerate(self.layers):
            borrowing = _Borrowing(layer, number, stream)
            layer.register_forward_pre_hook(borrowing.enter)
            layer.register_forward_hook(borrowing.leave, always_call=True)


@dataclass(frozen=True, slots=True)
class Holder:
    """Where a module keeps a weight: its name, the module's table, the key in it, what lies there now."""

    name: str
    table: dict[str, Any]
    key: str
    value: Tensor

    def put(self, tensor: Tensor) -> None:
        """Replace the weight, as a parameter or a buffer, whichever it was."""
        is_parameter = isinstance(self.value, nn.Parameter)
        self.table[self.key] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor


class _Borrowing:
    """The hooks of one layer: weights in before it computes, out afterwards."""

    def __init__(self, layer: nn.Module, number: int, stream: LayerStream) -> None:
        self._number, self._stream = number, stream
        self._used: AbstractContextManager[Tensors] | None = None
        self._holders = holders(layer)

    def enter(self, *_: object) -> None:
        self._used = self._stream.use(self._number)
        tensors = self._used.__enter__()
        for holder in self._holders:
            holder.put(tensors[holder.name])

    def leave(self, *_: object) -> None:
        for holder in self._holders:
            holder.table[holder.key] = holder.value
        used, self._used = self._used, None
        if used is not None:
            used.__exit__(None, None, None)


def holders(root: nn.Module) -> list[Holder]:
    """Every parameter and every buffer that a checkpoint holds; tied weights as often as they are held."""
    found: list[Holder] = []
    for prefix, module in root.named_modules():
        lead = f"{prefix}." if prefix else ""
        kept = {
            key: it for key, it in module._buffers.items() if key not in module._non_persistent_buffers_set
        }
        tables: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
            (module._parameters, module._parameters),
            (module._buffers, kept),
        )
        found += [
            Holder(lead + key, table, key, value)
            for table, some in tables
            for key, value in some.items()
            if value is not None
        ]
    return found


def _merge(recipe: Recipe, shapes: Shapes, prefix: str) -> Merge:
    def make(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): each for name, each in recipe.make(tensors).items()}

    within = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return Merge(recipe.pieces, within, make)


@contextmanager
def without_hooks(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Take the borrowing hooks off the layers inside the block, to copy the layers without them."""
    kept = [(layer, layer._forward_pre_hooks, layer._forward_hooks) for layer in layers]
    for layer, _, _ in kept:
        layer._forward_pre_hooks, layer._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for layer, before, after in kept:
            layer._forward_pre_hooks, layer._forward_hooks = before, after
