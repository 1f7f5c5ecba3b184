"""Every way of loading a checkpoint, over every kind of checkpoint: as transformers loads it, or one line.

Matrices are on a grid of 8 bits, so that a GPTQ checkpoint of them stands for the very same numbers.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from stored_checkpoints import (
    EMBEDDING,
    HEAD,
    STREAMED,
    loaded,
    plain_checkpoint,
    tied,
    with_tensor,
    written,
)
from torch import nn
from transformers import AutoModelForCausalLM

from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.quantization.quantize import low_precision_copy, lower_precision
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.self_drafts.early_exit import first_layers
from specdec_cli.models.self_drafts.quantized import quantized

TEXT = [5, 9, 30, 7, 60, 12, 200]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_checkpoint(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def equal_heads(tensors):
    tensors[HEAD] = tensors[EMBEDDING].clone()


def tied_and_equal(tensors):
    equal_heads(tensors)
    return tied(tensors)


def only_head(tensors):
    del tensors[EMBEDDING]
    return tied(tensors)


def only_embedding(tensors):
    del tensors[HEAD]
    return tied(tensors)


def without_prefix(tensors):
    for name in list(tensors):
        tensors[name.removeprefix("model.")] = tensors.pop(name)


RIGHT = {
    "as it is written": lambda tensors: None,
    "tied in the configuration, both stored and different": tied,
    "tied, both stored and equal": tied_and_equal,
    "tied, only the head stored": only_head,
    "tied, only the embedding stored": only_embedding,
    "not tied, both stored and equal": equal_heads,
    "without the base model's prefix": without_prefix,
    "with tables of older releases": with_tensor("model.layers.0.self_attn.rotary_emb.inv_freq"),
    "with a head that guesses further": with_tensor("mtp.layers.0.weight"),
}


def first_layer(model):
    model.model.layers = nn.ModuleList(list(model.model.layers)[:1])
    return model


def lowered(kind):
    def lower(model):
        lower_precision(model, kind)
        return model

    return lower


def silent(_):
    pass


# How it is loaded, and what transformers' own model has to become to say the same.
PATHS = {
    "memory": (loaded, lambda model: model),
    "int8": (lambda folder: loaded(folder, quantize="int8"), lowered("int8")),
    "int4": (lambda folder: loaded(folder, quantize="int4"), lowered("int4")),
    "layers:1": (lambda folder: first_layers(loaded(folder), 1), first_layer),
    "self:int8": (
        lambda folder: quantized(loaded(folder), "self:int8", "int8", silent),
        lambda model: low_precision_copy(model, "int8"),
    ),
    "disk": (lambda folder: loaded(folder, offload=STREAMED), lambda model: model),
    "disk, layers:1": (
        lambda folder: first_layers(
            loaded(folder, offload=Offload("disk", Workload(16, 8, 512), Limits(None, 1))), 1
        ),
        first_layer,
    ),
    "disk, self:int4": (
        lambda folder: quantized(loaded(folder, offload=STREAMED), "self:int4", "int4", silent),
        lambda model: low_precision_copy(model, "int4"),
    ),
}
OTHER_FILES = {"pickled": {"pickled": True}, "gptq": {"quantised": True}}


def require_equal(found, model):
    """Logits of the module and of the pass that computes texts are those of transformers' model."""
    model = model.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([TEXT])).logits[0]
        through_module = found.model(input_ids=torch.tensor([TEXT])).logits[0]
    runner = Runner(new_forward(found.model, found.stream), 64)
    runner.begin(TEXT)
    close = 1e-4 * expected.abs().max()
    assert (through_module - expected).abs().max() < close
    assert (runner.root() - expected[-1]).abs().max() < close


def transformers_own(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("case", RIGHT)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_computes_what_transformers_loads(plain, tmp_path, case, path):
    folder = written(plain, RIGHT[case], tmp_path / "model")
    load, change = PATHS[path]
    found = load(folder)
    require_equal(found, change(transformers_own(folder)))
    assert found.warnings == ()


@pytest.mark.parametrize("case", RIGHT)
@pytest.mark.parametrize("files", OTHER_FILES)
def test_pickles_and_gptq_are_the_same_model(plain, tmp_path, case, files):
    folder = written(plain, RIGHT[case], tmp_path / "model", **OTHER_FILES[files])
    found = loaded(folder)
    require_equal(found, transformers_own(written(plain, RIGHT[case], tmp_path / "plain")))
    assert found.warnings == ()
    assert found.parameters == loaded(tmp_path / "plain").parameters


def test_the_file_of_the_usual_name_counts_before_an_index(plain, tmp_path):
    """As in transformers, in memory and from disk, so that a folder is one model."""
    folder = written(plain, RIGHT["as it is written"], tmp_path / "model")
    other = {name: tensor + 1 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(other, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(other, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for how in ({}, {"offload": STREAMED}):
        require_equal(loaded(folder, **how), transformers_own(folder))
