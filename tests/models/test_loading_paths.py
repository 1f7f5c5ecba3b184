"""Every way of loading a checkpoint, over every kind of checkpoint: as transformers loads it, or one line.

Matrices are on a grid of 8 bits, so that a GPTQ checkpoint of them stands for the very same numbers.
"""

import json
import re
import shutil
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from specdec_cli.errors import SpecdecError
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.quantization.quantize import low_precision_copy, lower_precision
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.self_drafts.early_exit import first_layers
from specdec_cli.models.self_drafts.quantized import quantized

SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "vocab_size": 272}
WORDS = (*tiny.WORDS, *(f"<{number}>" for number in range(272 - len(tiny.WORDS))))
TEXT = [5, 9, 30, 7, 60, 12, 200]
STREAMED = Offload("disk", Workload(16, 8, 512), Limits(None, 0))
PROJECTION, STEP = "_proj.weight", 2**-8
EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A folder whose head is its own, and its tensors."""
    folder = tiny.folder(tmp_path_factory.mktemp("plain") / "model", words=WORDS, **SIZES)
    tensors, generator = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(2)
    for name, tensor in tensors.items():
        if name.endswith(PROJECTION):
            whole = torch.randint(0, 256, tensor.shape, generator=generator)
            tensors[name] = (whole - 128) * STEP / 2
        elif name in (EMBEDDING, HEAD):
            tensors[name] = torch.randn(tensor.shape, generator=generator)
    return folder, tensors


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


def with_tensor(*names):
    def add(tensors):
        tensors |= {name: torch.ones(4) for name in names}

    return add


def without(*names):
    def remove(tensors):
        for name in names:
            del tensors[name]

    return remove


def tied_without_any(tensors):
    del tensors[HEAD], tensors[EMBEDDING]
    return tied(tensors)


def narrower_norm(tensors):
    tensors[NORM] = torch.ones(32)


def narrower_head(tensors):
    tensors[HEAD] = torch.ones(272, 32)


def one_layer_more(tensors):
    last = {name: each for name, each in tensors.items() if "layers.1" in name}
    tensors |= {name.replace("layers.1", "layers.2"): each.clone() for name, each in last.items()}


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
NAMED = {
    "a tensor of another model": (with_tensor("v_head.weight"), "leaves out: v_head.weight"),
    "two of them": (with_tensor("a.weight", "b.weight"), "holds 2 tensors .* such as a.weight"),
    "a bias without a place": (with_tensor("model.norm.bias"), "leaves out: model.norm.bias"),
    "a layer more": (one_layer_more, "tensors .* leaves out: such as model.layers.2"),
}  # fmt: skip
REFUSED = {
    "no head": (without(HEAD), "lacks 1 of the model's weights, such as lm_head.weight"),
    "no embedding": (without(EMBEDDING), "lacks 1 of the model's weights, such as model.embed_tokens.weight"),
    "tied, and neither": (tied_without_any, "lacks 2 of the model's weights, such as lm_head.weight"),
    "no norm": (without(NORM), "lacks 1 of the model's weights, such as model.norm.weight"),
    "a norm of another width": (narrower_norm, "model.norm.weight has the shape 32, .* asks for 64"),
    "a head of another width": (narrower_head, "lm_head.weight has the shape 272 x 32, .* asks for 272 x 64"),
}
UNSAID = "quantised weights .*weight_scale_inv.*, and config.json does not say in what way"


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


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "memory": ({}, {}),
    "int8": ({}, {"quantize": "int8"}),
    "disk": ({}, {"offload": STREAMED}),
    "pickled": ({"pickled": True}, {}),
    "gptq": ({"quantised": True}, {}),
}


# Quantised layers that the model lacks are refused: see test_damaged_gptq.
@pytest.mark.parametrize(
    ("way", "case"),
    [(way, case) for way in WAYS for case in NAMED if (way, case) != ("gptq", "a layer more")],
)
def test_what_the_model_has_no_place_for_is_named(plain, tmp_path, case, way):
    change, message = NAMED[case]
    written_as, how = WAYS[way]
    (said,) = loaded(written(plain, change, tmp_path / "model", **written_as), **how).warnings
    assert re.search(message, said)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_or_of_another_shape_is_refused_by_name(plain, tmp_path, case, way):
    change, message = REFUSED[case]
    written_as, how = WAYS[way]
    folder = written(plain, change, tmp_path / "model", **written_as)
    with pytest.raises(SpecdecError, match=message) as caught:
        loaded(folder, **how)
    assert "\n" not in caught.value.problem + caught.value.hint


@pytest.mark.parametrize("way", ["memory", "disk", "pickled"])
def test_scales_without_a_word_on_quantisation_are_refused(plain, tmp_path, way):
    written_as, how = WAYS[way]
    add = with_tensor("model.layers.0.mlp.up_proj.weight_scale_inv")
    with pytest.raises(SpecdecError, match=UNSAID):
        loaded(written(plain, add, tmp_path / "model", **written_as), **how)


@pytest.mark.parametrize("way", WAYS)
def test_stop_ids_come_from_the_file_and_a_damaged_one_is_refused(plain, tmp_path, way):
    written_as, how = WAYS[way]
    folder = written(plain, RIGHT["as it is written"], tmp_path / "model", **written_as)
    settings = folder / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert loaded(folder, **how).stop_tokens == {1, 7, 9}
    settings.write_text("{")
    with pytest.raises(SpecdecError, match=r"generation_config\.json is damaged"):
        loaded(folder, **how)


def test_the_file_of_the_usual_name_counts_before_an_index(plain, tmp_path):
    """As in transformers, in memory and from disk, so that a folder is one model."""
    folder = written(plain, RIGHT["as it is written"], tmp_path / "model")
    other = {name: tensor + 1 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(other, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(other, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for how in ({}, {"offload": STREAMED}):
        require_equal(loaded(folder, **how), transformers_own(folder))
