"""A checkpoint that can be written in many ways: tensors renamed, left out, added, packed or pickled."""

import json
import shutil
from typing import Any

import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload

SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "vocab_size": 272}
WORDS = (*tiny.WORDS, *(f"<{number}>" for number in range(272 - len(tiny.WORDS))))
PROJECTION, STEP = "_proj.weight", 2**-8
EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def plain_checkpoint(path):
    """A folder whose head is its own, and its tensors."""
    folder = tiny.folder(path, words=WORDS, **SIZES)
    tensors, generator = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(2)
    for name, tensor in tensors.items():
        if name.endswith(PROJECTION):
            whole = torch.randint(0, 256, tensor.shape, generator=generator)
            tensors[name] = (whole - 128) * STEP / 2
        elif name in (EMBEDDING, HEAD):
            tensors[name] = torch.randn(tensor.shape, generator=generator)
    return folder, tensors


STREAMED = Offload("disk", Workload(16, 8, 512), Limits(None, 0))


def gptq(tensors):
    """The same tensors with every projection in 8 bits, one group of all inputs."""
    found = {}
    for name, tensor in tensors.items():
        if not name.endswith(PROJECTION) or tensor.dim() != 2:
            found[name] = tensor
            continue
        base, (outputs, inputs) = name.removesuffix("weight"), tensor.shape
        whole = (tensor / (STEP / 2) + 128).to(torch.uint8).T.contiguous()
        words = whole.view(inputs // 4, 4, outputs).transpose(1, 2).contiguous().view(torch.int32)
        found[f"{base}qweight"] = words.view(inputs // 4, outputs)
        found[f"{base}qzeros"] = torch.full((1, outputs // 4), 0x7F7F7F7F, dtype=torch.int32)
        found[f"{base}scales"] = torch.full((1, outputs), STEP / 2, dtype=torch.float16)
        found[f"{base}g_idx"] = torch.zeros(inputs, dtype=torch.int32)
    return found


def tied(tensors):
    return {"tie_word_embeddings": True}


def with_tensor(*names):
    def add(tensors):
        tensors |= {name: torch.ones(4) for name in names}

    return add


def without(*names):
    def remove(tensors):
        for name in names:
            del tensors[name]

    return remove


def written(plain, case, to, *, quantised=False, pickled=False):
    """The case as a folder."""
    folder, tensors = plain
    shutil.copytree(folder, to)
    stored = {name: tensor.clone() for name, tensor in tensors.items()}
    changes = case(stored) or {}
    if quantised:
        stored = gptq(stored)
        changes |= {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": -1}}
    if pickled:
        (to / "model.safetensors").unlink()
        torch.save(stored, to / "pytorch_model.bin")
    else:
        save_file(stored, to / "model.safetensors", metadata={"format": "pt"})
    path = to / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return to


def loaded(folder, **how):
    return load_model(str(folder), device="cpu", dtype="float32", **how)


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "memory": ({}, {}),
    "int8": ({}, {"quantize": "int8"}),
    "disk": ({}, {"offload": STREAMED}),
    "pickled": ({"pickled": True}, {}),
    "gptq": ({"quantised": True}, {}),
}
