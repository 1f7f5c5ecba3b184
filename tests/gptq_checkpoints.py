"""Tiny GPTQ checkpoints, packed here number by number, and the dense models that they stand for."""

import json

import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "initializer_range": 0.3}


def words_of(fields, bits, planes=None):
    """Whole numbers (R, C) to int32 words (R, C * bits / 32): side by side, or in planes of these widths."""
    found = []
    for row in fields.tolist():
        text = "".join(format(each, f"0{bits}b")[::-1] for each in row)  # the lowest bit first
        if planes is not None:
            blocks = [row[begin : begin + 32] for begin in range(0, len(row), 32)]
            text = "".join(_plane(block, below, width) for block in blocks for below, width in planes)
        text += "0" * (-len(text) % 32)
        found.append([int(text[begin : begin + 32][::-1], 2) for begin in range(0, len(text), 32)])
    words = torch.tensor(found)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def _plane(block, below, width):
    return "".join(format(each >> below & (2**width - 1), f"0{width}b")[::-1] for each in block)


PLANES = {3: ((0, 2), (2, 1)), 5: ((0, 4), (4, 1)), 6: ((0, 4), (4, 2)), 7: ((0, 4), (4, 2), (6, 1))}


def quantised(weight, bits, size, order, version, symmetric):
    """The tensors of a layer, and the weight (N, K) that they stand for."""
    inputs = weight.shape[1]
    groups = torch.arange(inputs) // size
    if order is not None:
        groups = groups[order]
    count, top = inputs // size, 2**bits - 1
    low = torch.stack([weight[:, groups == group].amin(1) for group in range(count)])
    high = torch.stack([weight[:, groups == group].amax(1) for group in range(count)])
    if symmetric:
        scale = (torch.maximum(-low, high) / (top // 2)).half()
        zero = torch.full(scale.shape, 2 ** (bits - 1), dtype=torch.int32)
    else:
        scale = ((high - low) / top).half()
        zero = (-low / scale.float()).round().clamp(0, top).int()
    whole = (weight.T / scale.float()[groups] + zero[groups]).round().clamp(0, top).int()
    planes = PLANES[bits] if bits in (5, 6, 7) or (bits == 3 and version == "gptq_p") else None
    qzeros = words_of(zero, bits, planes)
    if version == "gptq":  # whole words less one in every field, as the format's own library subtracts it
        ones = sum(1 << bit for bit in range(0, 32, bits))
        less = (qzeros.long() - ones) & (2**32 - 1)
        qzeros = torch.where(less >= 2**31, less - 2**32, less).to(torch.int32)
        if 32 % bits:
            qzeros = words_of((zero - 1) & top, bits, planes)
    tensors = {
        "qweight": words_of(whole.T, bits, planes).T.contiguous(),
        "qzeros": qzeros,
        "scales": scale,
        "g_idx": groups.int(),
    }
    return tensors, (scale.float()[groups] * (whole - zero[groups])).T


def checkpoint(
    folder, *, bits=4, size=32, act_order=False, version="gptq", symmetric=False, settings=None, also=(),
    bits_of=None, **changes,
):  # fmt: skip
    """A GPTQ folder, and the folder of the dense model that it stands for.

    `also` names more layers than the projections, `bits_of` other bits by a part of a layer's name, and
    `settings` what the configuration says beyond the usual, or None for a key that it lacks.
    """
    dense = tiny.folder(folder / "dense", **{**SIZES, **changes})
    packed = tiny.folder(folder / "packed", **{**SIZES, **changes})
    weights = load_file(dense / "model.safetensors")
    stored = dict(weights)
    for name, weight in weights.items():
        base = name.removesuffix(".weight")
        if base.rpartition(".")[2] in (*LAYERS, *also) and weight.dim() == 2:
            turned = base.rpartition(".")[2].startswith("c_")  # GPT-2 stores inputs before outputs
            matrix = weight.T if turned else weight
            columns = matrix.shape[1]
            order = torch.randperm(columns, generator=torch.Generator().manual_seed(1)) if act_order else None
            group = columns if size == -1 else size
            own = next((each for part, each in (bits_of or {}).items() if part in name), bits)
            if own is None:
                continue
            tensors, found = quantised(matrix, own, group, order, version, symmetric)
            weights[name] = found.T if turned else found
            del stored[name]
            stored |= {f"{base}.{part}": each for part, each in tensors.items()}
    save_file({name: each.contiguous() for name, each in weights.items()}, dense / "model.safetensors")
    save_file(stored, packed / "model.safetensors")
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": act_order,
        "checkpoint_format": version, "sym": symmetric, **(settings or {}),
    }  # fmt: skip
    (packed / "config.json").write_text(json.dumps(config))
    return packed, dense
