"""Reading GPTQ checkpoints without the packages that wrote them.

The layout, for a linear layer of K inputs and N outputs: `qweight` int32 (K * bits / 32, N) holds whole
numbers from the lowest bits up; `qzeros` int32 (groups, N * bits / 32) the zero points, less one in the first
version of the format; `scales` (groups, N); `g_idx` (K,) the group of each input. A weight is
scale * (number - zero).
Frantar et al. (2022), https://arxiv.org/abs/2210.17323.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from specdec_cli.errors import SpecdecError
from specdec_cli.models.checkpoint import safetensors_files
from specdec_cli.models.low_precision import Int4Linear

BITS = (2, 4, 8)
PACKS = (32, 64, 128, 256)  # group sizes that torch's 4-bit product takes
PARTS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True, slots=True)
class Quantised:
    """One layer's numbers: whole (K, N), zero and scale (groups, N), group of each input (K,)."""

    whole: Tensor
    zero: Tensor
    scale: Tensor
    group: Tensor


def is_gptq(config: Any) -> bool:
    """Whether a model's configuration says that its weights are in this format."""
    return _settings(config).get("quant_method") == "gptq"


def read_gptq(folder: Path, config: Any, dtype: torch.dtype, *, packed: bool) -> Any:
    """The model on the CPU; with `packed`, 4-bit layers stay so where torch can, and all others become dense.

    Raises:
        SpecdecError: a number of bits that is not supported, or weights are missing.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    build: Any = AutoModelForCausalLM.from_config  # not annotated
    settings = _settings(config)
    bits = int(settings.get("bits", 4))
    if bits not in BITS:
        hint = f"Choose a checkpoint of {', '.join(map(str, BITS))} bits."
        raise SpecdecError(f"GPTQ weights of {bits} bits cannot be read.", hint)
    zero_shift = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    del config.quantization_config
    with torch.device("meta"):
        model = build(config, dtype=dtype)
    tensors = _tensors(folder)
    for name in [key.removesuffix(".qweight") for key in tensors if key.endswith(".qweight")]:
        parts = {part: tensors.pop(f"{name}.{part}", None) for part in PARTS}
        layer = _unpacked(parts, bits, zero_shift)
        bias = tensors.pop(f"{name}.bias", None)
        bias = None if bias is None else bias.to(dtype)
        linear = _four_bits(layer, bias) if packed and bits == 4 else None
        _put(model, name, linear or _dense(layer, bias, dtype))
    floats = {name: each.to(dtype) if each.is_floating_point() else each for name, each in tensors.items()}
    model.load_state_dict(floats, strict=False, assign=True)
    model.tie_weights()
    _make_buffers(model, config)
    _require_whole(model, folder)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


def _settings(config: Any) -> dict[str, Any]:
    settings = getattr(config, "quantization_config", None) or {}
    return settings if isinstance(settings, dict) else dict(settings.to_dict())


def _tensors(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path in safetensors_files(folder):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return found


def _unpacked(parts: dict[str, Tensor | None], bits: int, zero_shift: int) -> Quantised:
    weight, zeros, scales = parts["qweight"], parts["qzeros"], parts["scales"]
    if weight is None or zeros is None or scales is None:
        raise SpecdecError("A GPTQ layer lacks its zeros or scales.", "Copy or download the model again.")
    whole = _fields(weight, bits).transpose(1, 2).flatten(0, 1)
    zero = (_fields(zeros, bits).flatten(1) + zero_shift) & ((1 << bits) - 1)
    group = parts["g_idx"]
    if group is None:
        group = torch.arange(len(whole)) // (len(whole) // len(scales))
    return Quantised(whole, zero, scales.float(), group.long())


def _fields(words: Tensor, bits: int) -> Tensor:
    """Words (R, C) to the whole numbers in them, lowest bits first: (R, C, 32 / bits)."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return (words[:, :, None] >> shifts) & ((1 << bits) - 1)


def _four_bits(layer: Quantised, bias: Tensor | None) -> Int4Linear | None:
    """The layer as it is, inputs in the order of their groups; None where torch has no product for it."""
    inputs, outputs = layer.whole.shape
    size = inputs // len(layer.scale)
    places = torch.arange(inputs)
    order = layer.group.argsort(stable=True)
    if size not in PACKS or outputs % 16 or not torch.equal(layer.group[order], places // size):
        return None
    offset = (8 - layer.zero) * layer.scale
    moved = None if torch.equal(order, places) else order
    return Int4Linear.from_whole(layer.whole[order].T, layer.scale, offset, bias, moved)


def _dense(layer: Quantised, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    inputs, outputs = layer.whole.shape
    dense = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    weight = (layer.whole - layer.zero[layer.group]) * layer.scale[layer.group]
    dense.weight = nn.Parameter(weight.T.to(dtype).contiguous(), requires_grad=False)
    if bias is not None:
        dense.bias = nn.Parameter(bias, requires_grad=False)
    return dense


def _put(model: Any, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _make_buffers(model: Any, config: Any) -> None:
    """Make the modules anew whose tables a checkpoint does not hold: rotary angles."""
    for name, module in list(model.named_modules()):
        if not any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            continue
        if not name.endswith("rotary_emb"):
            hint = "Choose another checkpoint of the model."
            raise SpecdecError(f"GPTQ checkpoints of a {config.model_type} model cannot be read.", hint)
        _put(model, name, type(module)(config))


def _require_whole(model: Any, folder: Path) -> None:
    missing = [name for name, weight in model.state_dict().items() if weight.is_meta]
    if missing:
        problem = f"{folder} lacks {len(missing)} of the model's weights, such as {missing[0]}."
        raise SpecdecError(problem, "Copy or download the model again, all files of it.")
