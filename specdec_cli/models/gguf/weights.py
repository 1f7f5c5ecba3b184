"""The tensors of a GGUF file as the weights of a transformers model: every one used, every weight filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specdec_cli.models.gguf.architectures import Architecture
from specdec_cli.models.gguf.header import GgufHeader, GgufTensor, unreadable
from specdec_cli.models.gguf.rotary import TABLES

CHUNK = 1 << 24  # numbers unpacked at once: K-quants need several times as much memory meanwhile
BLOCK = re.compile(r"blk\.(\d+)\.")
EXPERTS = re.compile(r"layers\.(\d+)\.mlp\.experts\.(gate_up_proj|down_proj)$")
OTHER_TYPE = "Use a file of another quantisation, such as Q8_0 or Q4_K_M."
NOT_ITS_OWN = "Check that the file is whole and was converted for its architecture; convert it again."

Change = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True, slots=True)
class Source:
    """Where one weight comes from.

    Attributes:
        tensors: of the file; none for a bias that llama.cpp takes for zero.
        change: gives the weight from them, in float32.
    """

    tensors: tuple[GgufTensor, ...]
    change: Change


def require_blocks(header: GgufHeader, layers: int) -> None:
    """Refuse a file whose tensors are not those of `layers` layers; before a model of that size is made.

    Raises:
        InputError: there are none, or they are of more or fewer.
    """
    found = {int(match[1]) for each in header.tensors if (match := BLOCK.match(each.name))}
    if not header.tensors:
        raise unreadable(header.path, "it holds no tensors", "Give the file that holds the weights.")
    if len(found) != layers or max(found, default=-1) != layers - 1:
        why = f"block_count is {layers}, and it holds tensors of {len(found)} blocks"
        raise unreadable(header.path, why, NOT_ITS_OWN)


def plan_weights(header: GgufHeader, model: Any, name: str, architecture: Architecture) -> dict[str, Source]:
    """Which tensors every weight of `model` is made of.

    Args:
        header: of the file.
        model: on the meta device, of the configuration that the file describes.
        name: the file's architecture.
        architecture: what is known of it.

    Raises:
        InputError: a weight without a tensor, a tensor without a weight, or one of other sizes or of a type
            that cannot be unpacked.
    """
    by_name = {each.name: each for each in header.tensors}
    tied = model.config.get_text_config().tie_word_embeddings
    plan: dict[str, Source] = {}
    used = set(TABLES)
    for key, weight in model.state_dict().items():
        if tied and key == "lm_head.weight":
            continue
        wanted = _ggml_names(key, name, model.config.get_text_config().num_hidden_layers)
        zero = name == "llama" and key.endswith("o_proj.bias") and wanted[0] not in by_name
        missing = [each for each in wanted if each not in by_name]
        if missing and not zero:
            raise unreadable(header.path, f"it lacks the tensor {missing[0]}", NOT_ITS_OWN)
        tensors = () if zero else tuple(by_name[each] for each in wanted)
        source = Source(tensors, _change(key, weight, model, architecture))
        _require_shape(header.path, key, weight, source)
        plan[key] = source
        used.update(wanted)
    surplus = [each for each in by_name if each not in used]
    if surplus:
        why = f"its tensor {surplus[0][:80]} is none of a {model.config.model_type} model's"
        more = f", like {len(surplus) - 1} others" if len(surplus) > 1 else ""
        raise unreadable(header.path, why + more, NOT_ITS_OWN)
    for stored in by_name.values():
        _require_known_type(stored)
    return plan


def read_tensor(stored: GgufTensor) -> Tensor:
    """One tensor of a file, unpacked to float32."""
    from gguf import GGMLQuantizationType, dequantize

    data = np.memmap(stored.path, np.uint8, "r", offset=stored.begin, shape=(stored.size,))
    rows = data.reshape(int(np.prod(stored.shape[:-1], dtype=np.int64)), -1)
    whole = torch.empty(len(rows), stored.shape[-1])
    step = max(1, CHUNK // stored.shape[-1])
    for begin in range(0, len(rows), step):
        part = dequantize(np.ascontiguousarray(rows[begin : begin + step]), GGMLQuantizationType(stored.kind))
        whole[begin : begin + step] = torch.from_numpy(np.array(part, np.float32)).view(-1, stored.shape[-1])
    return whole.view(stored.shape)


def read_weight(source: Source, name: str, shape: torch.Size, dtype: torch.dtype, path: Path) -> Tensor:
    """One weight, in `dtype`.

    Raises:
        InputError: it is not finite, in the file or in `dtype`.
    """
    if not source.tensors:
        return torch.zeros(shape, dtype=dtype)
    weight = source.change([read_tensor(stored) for stored in source.tensors]).to(dtype).contiguous()
    if not bool(torch.isfinite(weight).all()):
        tensor = source.tensors[0].name
        raise unreadable(path, f"its tensor {tensor} has values that are no numbers in {dtype}", NOT_ITS_OWN)
    return weight


def _ggml_names(key: str, architecture: str, layers: int) -> tuple[str, ...]:
    if key in ("lm_head.weight", "lm_head.bias"):
        return (key.replace("lm_head", "output"),)
    if experts := EXPERTS.search(key):
        kinds = ("gate", "up") if experts[2] == "gate_up_proj" else ("down",)
        return tuple(f"blk.{experts[1]}.ffn_{kind}_exps.weight" for kind in kinds)
    names = _name_map(architecture, layers)
    found = names.get_name(key, (".weight", ".bias"))
    found = found or names.get_name(key.removeprefix("transformer."), (".weight", ".bias"))
    return (found or f"of {key}",)


_maps: dict[tuple[str, int], Any] = {}


def _name_map(architecture: str, layers: int) -> Any:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    if (architecture, layers) not in _maps:
        numbers = {name: number for number, name in MODEL_ARCH_NAMES.items()}
        _maps.clear()
        _maps[architecture, layers] = get_tensor_name_map(numbers[architecture], layers)
    return _maps[architecture, layers]


def _require_known_type(stored: GgufTensor) -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    kind = GGMLQuantizationType(stored.kind)
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        why = f"its tensor {stored.name} is of the type {kind.name}, which cannot be unpacked"
        raise unreadable(stored.path, why, OTHER_TYPE) from None


def _require_shape(path: Path, key: str, weight: Tensor, source: Source) -> None:
    if not source.tensors:
        return
    try:
        found = source.change([torch.empty(stored.shape, device="meta") for stored in source.tensors]).shape
    except RuntimeError:
        found = torch.Size()
    if found != weight.shape:
        sizes, wanted = list(source.tensors[0].shape), list(weight.shape)
        why = f"its tensor {source.tensors[0].name} has the sizes {sizes}, and {key} needs {wanted}"
        raise unreadable(path, why, NOT_ITS_OWN)


def _change(key: str, weight: Tensor, model: Any, architecture: Architecture) -> Change:
    """What undoes that which a converter did to this weight."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    if EXPERTS.search(key):
        return lambda parts: torch.cat(list(parts), dim=1)
    if architecture.paired and re.search(r"\.q_proj\.(weight|bias)$", key):
        return lambda parts: _unpaired(parts[0], heads)
    if architecture.paired and re.search(r"\.k_proj\.(weight|bias)$", key):
        return lambda parts: _unpaired(parts[0], config.num_key_value_heads)
    if architecture.offset and key.endswith("norm.weight"):
        return lambda parts: parts[0] - 1
    if architecture.transposed and key.endswith(architecture.transposed):
        return lambda parts: parts[0].T
    if architecture.fused and ".query_key_value." in key:
        groups = heads if architecture.fused == "heads" else getattr(config, "num_kv_heads", heads)
        return lambda parts: _interleaved(parts[0], heads, groups)
    return lambda parts: parts[0].view(weight.shape) if _same_but_ones(parts[0], weight) else parts[0]


def _same_but_ones(found: Tensor, wanted: Tensor) -> bool:
    """Whether two shapes differ in dimensions of size 1 alone; a transposed matrix is another one."""
    one, other = ([size for size in each.shape if size != 1] for each in (found, wanted))
    return one == other


def _unpaired(rows: Tensor, heads: int) -> Tensor:
    """Rows whose rotary pairs lie side by side, with the first of all pairs in one half of each head.

    (heads * head_dim, ...) to the same.
    """
    rest = rows.shape[1:]
    return rows.reshape(heads, -1, 2, *rest).transpose(1, 2).reshape(rows.shape)


def _interleaved(rows: Tensor, heads: int, groups: int) -> Tensor:
    """All queries, all keys, all values; by groups of key heads, each with its queries, its key, its value.

    ((heads + 2 * groups) * head_dim, ...) to the same.
    """
    rest = rows.shape[1:]
    head_size = rows.shape[0] // (heads + 2 * groups)
    query, key, value = torch.split(rows, [heads * head_size, groups * head_size, groups * head_size])
    parts = [
        query.reshape(groups, heads // groups, head_size, *rest),
        key.reshape(groups, 1, head_size, *rest),
        value.reshape(groups, 1, head_size, *rest),
    ]
    return torch.cat(parts, dim=1).reshape(rows.shape)
