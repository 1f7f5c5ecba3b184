"""A quantized copy of an offloaded target as its own draft: made while the target streams by, kept on disk.

A copy in 4 bits takes a fraction of the target's memory, speaks the same tokens and mostly says the same;
no more than one layer of the target is held while it is made.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from specdec_cli.models.hf.checkpoint import WEIGHTS
from specdec_cli.models.hf.decoder_layers import stack_path
from specdec_cli.models.hub.cache import (
    LARGER_CACHE,
    cache_root,
    put_folder,
    require_disk,
    require_writable,
    workspace,
)
from specdec_cli.models.hub.disk import writing
from specdec_cli.models.hub.manifest import is_whole, write_manifest
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.offload.skeleton import holders, without_hooks
from specdec_cli.models.offload.stream import LayerStream, Tensors
from specdec_cli.models.offload.tensor_index import TensorLocation, file_locations, read_tensor
from specdec_cli.models.quantization.linear import KINDS, Int4Linear, Int8Linear, fits_linear, require_cpu
from specdec_cli.models.quantization.matrices import linear_of, matrix_of
from specdec_cli.models.quantization.quantize import cannot_hold, put_head, remarks_on
from specdec_cli.progress import Report

FORMAT = 2
HEAD_ROWS = 4096  # of the head that are quantized at a time


def quantized_copy(target: LoadedModel, kind: str, report: Report) -> LoadedModel:
    """A copy of an offloaded target with all its layers in memory, in low precision.

    Embedding and norms are the target's own; the head takes 8 bits in either kind.

    Args:
        target: whose layers are streamed.
        kind: "int8" or "int4".
        report: is told what takes time.

    Raises:
        InputError: not on the CPU.
        MismatchError: the model has no linear layer that can be quantized.
        ResourceError: the disk filled up.
    """
    stream = target.stream
    assert stream is not None
    require_cpu(kind, target.device)
    path = stack_path(target.model)
    layers = target.model.get_submodule(".".join(path))
    if not any(fits_linear(module, kind) for module in layers.modules()):
        raise cannot_hold(target.model, kind)
    with without_hooks(layers):
        shared = {id(each): each for each in (*target.model.parameters(), *target.model.buffers())}
        duplicate = copy.deepcopy(target.model, shared)
    source = _identity(stream, kind)
    folder = cache_root() / "drafts" / f"{kind}-{source[:16]}"
    if is_whole(folder, source):
        _fill(duplicate, file_locations(folder / WEIGHTS))
    else:
        report(f"Rounding a copy of {target.name} to {kind}, once")
        _quantize(duplicate, duplicate.get_submodule(".".join(path)), stream, kind)
        _save(duplicate, ".".join(path), folder, source)
    return replace(
        target,
        name=f"self:{kind}",
        model=duplicate,
        source=f"{target.name}, rounded",
        stream=None,
        plan=None,
        warnings=(*target.warnings, *remarks_on(duplicate, f"self:{kind}", kind)),
    )


def _quantize(duplicate: Any, layers: nn.ModuleList, stream: LayerStream, kind: str) -> None:
    for number, layer in enumerate(layers):
        with stream.use(number) as tensors:
            _quantize_layer(layer, tensors, kind)
    head = duplicate.get_output_embeddings()
    if fits_linear(head, "int8"):
        put_head(duplicate, _quantized_head(head))


def _quantize_layer(layer: nn.Module, tensors: Tensors, kind: str) -> None:
    quantized = {name for name, child in layer.named_modules() if fits_linear(child, kind)}
    for holder in holders(layer):
        parent, _, last = holder.name.rpartition(".")
        passing = parent in quantized and last == "weight"
        holder.put(tensors[holder.name] if passing else tensors[holder.name].clone())
    for name in quantized:
        layer.set_submodule(name, KINDS[kind].quantized(layer.get_submodule(name)))


def _quantized_head(head: nn.Linear) -> Int8Linear:
    """Quantized in parts, since that takes a multiple of the memory of what is quantized."""
    parts = []
    for begin in range(0, head.out_features, HEAD_ROWS):
        parts.append(Int8Linear.quantized(linear_of(head.weight[begin : begin + HEAD_ROWS], None)))
    whole = Int8Linear.joined(parts)
    return Int8Linear(whole.numbers(), whole.scale[: whole.out_features], head.bias, whole.dtype)


def _save(duplicate: Any, path: str, folder: Path, source: str) -> None:
    head = _head_name(duplicate)
    tensors = {
        name: tensor
        for name, tensor in duplicate.state_dict().items()
        if name.startswith((f"{path}.", f"{head}.")) and not tensor.is_meta
    }
    purpose = "Keeping the rounded draft"
    require_disk(require_writable(), sum(each.nbytes for each in tensors.values()), purpose)
    with workspace(purpose) as work:
        built = work / "draft"
        built.mkdir()
        with writing("The rounded draft", LARGER_CACHE):
            save_file(tensors, built / WEIGHTS)
        write_manifest(built, source)
        put_folder(built, folder)


def _fill(duplicate: Any, locations: dict[str, TensorLocation]) -> None:
    """Give a copy the quantized weights that `_save` wrote."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, location in locations.items():
        parent, _, last = name.rpartition(".")
        tensors.setdefault(parent, {})[last] = read_tensor(location)
    for name, parts in tensors.items():
        if "packed" in parts or "whole" in parts:
            duplicate.set_submodule(name, _held_low(duplicate.get_submodule(name), parts))
        else:
            _fill_plain(duplicate.get_submodule(name), parts)


def _held_low(original: nn.Module, parts: dict[str, Tensor]) -> Int8Linear | Int4Linear:
    """A quantized product from what `_save` wrote of it; the original knows its shape."""
    weight, bias = matrix_of(original), parts.get("bias")
    assert weight is not None
    if "packed" in parts:
        return Int4Linear(parts["packed"], parts["grid"], bias, parts.get("order"), weight.dtype)
    outputs, inputs = weight.shape
    return Int8Linear(parts["whole"][:outputs, :inputs], parts["scale"][:outputs], bias, weight.dtype)


def _fill_plain(module: nn.Module, parts: dict[str, Tensor]) -> None:
    for holder in holders(module):
        if holder.name in parts:
            holder.put(parts[holder.name])


def _head_name(duplicate: Any) -> str:
    head = duplicate.get_output_embeddings()
    return str(next(name for name, module in duplicate.named_modules() if module is head))


def _identity(stream: LayerStream, kind: str) -> str:
    """What a quantized copy depends on: the files it was made from, how it was quantized, how it is written.

    torch packs 4 bits as this processor's product wants them.
    """
    packing = torch.__version__, torch.backends.cpu.get_cpu_capability()
    files = {location.file for layout in stream.layouts.values() for location in layout.locations.values()}
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)]
    return hashlib.sha256(repr((FORMAT, packing, kind, str(stream.dtype), stats)).encode()).hexdigest()
