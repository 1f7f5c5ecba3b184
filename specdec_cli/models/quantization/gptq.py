"""Reading GPTQ checkpoints without the packages that wrote them. The format is described in `gptq_layer`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from specdec_cli.errors import InputError
from specdec_cli.models.hf.checkpoint import quantization_settings, read_generation_config, safetensors_files
from specdec_cli.models.hf.quiet import first_line
from specdec_cli.models.hf.unused_tensors import AGAIN
from specdec_cli.models.hf.weight_map import (
    Recipe,
    WeightMap,
    empty_model,
    made_shapes,
    map_weights,
    number_format,
    put_weight,
    tie,
)
from specdec_cli.models.quantization.gptq_config import GptqSettings, Numbers
from specdec_cli.models.quantization.gptq_layer import PARTS, QuantizedLayer, layer_shape, unpack

Read = Callable[[str], Tensor]
Shapes = Mapping[str, tuple[int, ...]]


def is_gptq(config: Any) -> bool:
    """Whether a model's configuration says that its weights are in this format."""
    return quantization_settings(config).get("quant_method") == "gptq"


def read_gptq(
    folder: Path, config: Any, dtype: torch.dtype, trust_remote_code: bool, *, packed: bool
) -> tuple[Any, tuple[str, ...]]:
    """The model on the CPU, and the names of stored tensors that it has no place for.

    Args:
        folder: of the checkpoint.
        config: its configuration.
        dtype: number format of what is not packed.
        trust_remote_code: run Python code that comes with the model.
        packed: keep 4-bit layers in 4 bits where torch can; all others, and the head, become dense.

    Raises:
        InputError: settings or numbers that cannot be read, or weights are missing or of another shape.
    """
    settings = GptqSettings(config)
    plain = copy.deepcopy(config)
    for each in {id(part): part for part in (plain, plain.get_text_config(decoder=True))}.values():
        vars(each).pop("quantization_config", None)
    model = empty_model(plain, dtype, trust_remote_code)
    read_generation_config(model, folder)
    with _opened(folder) as (shapes, read):
        layers = _layers(shapes, settings)
        parts = {f"{name}.{part}" for name in layers for part in PARTS}
        dense = {f"{name}.weight": layer.shape for name, layer in layers.items()}
        shapes = {name: shape for name, shape in shapes.items() if name not in parts} | dense
        found = map_weights(model, shapes, folder)
        _require_known(folder, found.unused, layers)
        filling = _Filling(model, dtype, layers, shapes, read)
        unused = filling.fill(found, packed)
    tie(model, found.missing)
    return model, unused


def gptq_bytes(folder: Path, config: Any, dtype: torch.dtype, *, packed: bool) -> int:
    """Bytes that the weights take once they are loaded: what is not packed is dense.

    Raises:
        InputError: as `read_gptq`, for what the headers of the files show.
    """
    with _opened(folder) as (shapes, _):
        layers = _layers(shapes, GptqSettings(config))
    parts = {f"{name}.{part}" for name in layers for part in PARTS}
    plain = sum(math.prod(shape) for name, shape in shapes.items() if name not in parts)
    numbers = [(math.prod(layer.shape), layer.numbers) for layer in layers.values()]
    held = sum(count // 2 + count // 8 for count, each in numbers if packed and each.bits == 4)
    dense = sum(count for count, each in numbers if not (packed and each.bits == 4))
    return held + (plain + dense) * dtype.itemsize


@dataclass(frozen=True, slots=True)
class _Layer:
    """A quantised layer: how its numbers are stored, outputs and inputs, and which parts there are."""

    numbers: Numbers
    shape: tuple[int, int]
    parts: tuple[str, ...]


class _Filling:
    """The weights of one checkpoint on their way into a model."""

    def __init__(
        self, model: Any, dtype: torch.dtype, layers: Mapping[str, _Layer], shapes: Shapes, read: Read
    ) -> None:
        self._model, self._dtype, self._layers, self._read = model, dtype, layers, read
        self._shapes = dict(shapes)

    def fill(self, found: WeightMap, packed: bool) -> tuple[str, ...]:
        """Fill the model: names of the tensors that it has no place for."""
        products = {recipe.target: recipe for recipe in found.recipes if self._is_product(recipe)}
        for recipe in found.recipes:
            if recipe.target not in products:
                self._fill(recipe)
        biases = {f"{self._base(recipe)}.bias": target for target, recipe in products.items()}
        for name in set(found.unused) & biases.keys():  # for older writers every layer had one
            module = self._model.get_submodule(biases[name].removesuffix(".weight"))
            module.bias = nn.Parameter(self._read(name).to(self._dtype), requires_grad=False)
        shared = self._model.all_tied_weights_keys
        stay_dense = {*shared, *shared.values(), *_head_weight(self._model)}
        for target, recipe in products.items():
            self._fill_product(recipe, packed and target not in stay_dense)
        return tuple(name for name in found.unused if name not in biases)

    def _is_product(self, recipe: Recipe) -> bool:
        """Whether a recipe is of one quantised layer that is a matrix product in the model too."""
        from transformers.pytorch_utils import Conv1D

        if recipe.converter is not None or self._base(recipe) not in self._layers:
            return False
        module = self._model.get_submodule(recipe.target.rpartition(".")[0])
        return type(module) in (nn.Linear, Conv1D) and recipe.target.endswith(".weight")

    def _fill_product(self, recipe: Recipe, packed: bool) -> None:
        name = recipe.target.removesuffix(".weight")
        module, layer = self._model.get_submodule(name), self._layers[self._base(recipe)]
        turned = type(module) is not nn.Linear  # Conv1D has inputs before outputs
        if turned:
            self._shapes[recipe.pieces[0]] = layer.shape[::-1]
        made_shapes(recipe, self._shapes)
        numbers = self._unpacked(self._base(recipe))
        bias: Any = module.bias
        four = numbers.four_bits(bias, self._dtype) if packed and layer.numbers.bits == 4 else None
        if four is not None:
            self._model.set_submodule(name, four)
            return
        weight = numbers.dense().T if turned else numbers.dense()
        put_weight(self._model, recipe.target, weight.to(self._dtype).contiguous())

    def _fill(self, recipe: Recipe) -> None:
        made_shapes(recipe, self._shapes)
        dtype = number_format(self._model, recipe.target, self._dtype)
        tensors = {piece: self._tensor(piece).to(dtype) for piece in recipe.pieces}
        for name, tensor in recipe.make(tensors).items():
            put_weight(self._model, name, tensor)

    def _tensor(self, name: str) -> Tensor:
        base = name.removesuffix(".weight")
        if name.endswith(".weight") and base in self._layers:
            return self._unpacked(base).dense()
        return self._read(name)

    def _unpacked(self, base: str) -> QuantizedLayer:
        layer = self._layers[base]
        return unpack(base, {part: self._read(f"{base}.{part}") for part in layer.parts}, layer.numbers)

    @staticmethod
    def _base(recipe: Recipe) -> str:
        return recipe.pieces[0].removesuffix(".weight")


def _layers(shapes: Shapes, settings: GptqSettings) -> dict[str, _Layer]:
    """The quantised layers, by the checkpoint's names."""
    found = {}
    for name in sorted({key.rpartition(".")[0] for key in shapes if key.rpartition(".")[2] in PARTS}):
        parts = {part: shapes[f"{name}.{part}"] for part in PARTS if f"{name}.{part}" in shapes}
        numbers = settings.of(name)
        found[name] = _Layer(numbers, layer_shape(name, parts, numbers), tuple(parts))
    return found


def _require_known(folder: Path, unused: Iterable[str], layers: Mapping[str, _Layer]) -> None:
    strangers = sorted(f"{name}.qweight" for name in layers if f"{name}.weight" in unused)
    if strangers:
        raise InputError(f"{folder} holds {strangers[0]}, and the model has no layer of that name.", AGAIN)


def _head_weight(model: Any) -> tuple[str, ...]:
    """Name of the output layer's weight: it stays dense, since others read it too."""
    head = model.get_output_embeddings()
    return tuple(f"{name}.weight" for name, module in model.named_modules() if module is head)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Shapes, Read]]:
    """The shapes of a checkpoint's tensors, and what reads one of them.

    Raises:
        InputError: a tensor is in two files, or a pickle cannot be read.
    """
    where: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for path in safetensors_files(folder):
            file = stack.enter_context(safe_open(path, framework="pt"))
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if name in where:
                    raise InputError(f"{folder} holds {name} in two files.", AGAIN)
                where[name], shapes[name] = file, tuple(file.get_slice(name).get_shape())
        if where:
            yield shapes, lambda name: where[name].get_tensor(name)
            return
        tensors: dict[str, Tensor] = {}
        for path in sorted(folder.glob("pytorch_model*.bin")):
            tensors |= _unpickled(path)
        yield {name: tuple(each.shape) for name, each in tensors.items()}, tensors.__getitem__


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if not all(isinstance(each, Tensor) for each in found.values()):
            raise TypeError("it holds something else than tensors")
    except Exception as error:  # whatever a damaged pickle makes torch raise
        raise InputError(f"{path} cannot be read: {first_line(error)}.", AGAIN) from error
    return found
