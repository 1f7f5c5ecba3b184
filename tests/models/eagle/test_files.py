"""An EAGLE head's two files are believed only as far as they are sound and belong together."""

import json
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.errors import SpecdecError
from specdec_cli.models.eagle.checkpoint import load_eagle_head, save_eagle_head, vocabulary_digest
from specdec_cli.models.eagle.files import MadeFor, is_eagle_head
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.loader import load_model
from specdec_cli.models.memory_estimate import estimate_draft
from specdec_cli.models.quantization.linear import Int8Linear
from specdec_cli.models.reduced_vocab_head import REDUCED, reduce_vocabulary
from specdec_cli.registry.drafts import DraftSpec

TOKENS = torch.arange(3, 67)
OUT = "inner.lm_head.inner.weight"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tiny.folder(tmp_path_factory.mktemp("models") / "target", intermediate_size=64)
    return load_model(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def made(target, tmp_path_factory):
    """A head in float16 and one in 4 bits."""
    shape, folders = head_shape(target.model.config), {}
    made_for = MadeFor(target.name, 32, vocabulary_digest(target.tokenizer))
    for store in ("float16", "int4"):
        torch.manual_seed(0)
        head = new_eagle_head(target.model.get_input_embeddings(), TOKENS, 1, shape, torch.float32)
        folders[store] = tmp_path_factory.mktemp(store)
        save_eagle_head(head, made_for, folders[store], store)
    return folders


@pytest.fixture
def folder(made, tmp_path, request):
    copied = tmp_path / "head"
    copied.mkdir()
    for path in made[getattr(request, "param", "float16")].iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    return copied


def refusal(call, *arguments):
    with pytest.raises(SpecdecError) as refused:
        call(*arguments)
    assert refused.value.exit_code == 2
    assert "distill" in refused.value.hint
    return refused.value.problem


def of_shape(**changes):
    return lambda config: config["shape"].update(changes)


CONFIGS = {
    "format: expected int, got str": lambda config: config.update(format="1"),
    "format is missing": lambda config: config.pop("format"),
    "was made by another version of specdec": lambda config: config.update(format=2),
    "made_for is missing": lambda config: config.pop("made_for"),
    "made_for: vocabulary is missing": lambda config: config["made_for"].pop("vocabulary"),
    "made_for.hidden_size: expected int, got str": lambda c: c["made_for"].update(hidden_size="32"),
    "layers: expected int <= 256": lambda config: config.update(layers=10**6),
    "layers: expected int >= 1": lambda config: config.update(layers=0),
    "layers: expected int, got str": lambda config: config.update(layers="1"),
    "store: ": lambda config: config.update(store="int5"),
    "shape: head_dim is missing": lambda config: config["shape"].pop("head_dim"),
    "shape.hidden_size: expected int <= ": of_shape(hidden_size=10**9),
    "shape.hidden_size: expected int >= 1": of_shape(hidden_size=-32),
    "shape.num_key_value_heads: expected int >= 1": of_shape(num_key_value_heads=0),
    "4 heads cannot share 3 heads of keys": of_shape(num_key_value_heads=3),
    "not that of its target's hidden states": of_shape(hidden_size=64),
    "do not fit its config.json": of_shape(intermediate_size=10**6),
    "The weights in ": of_shape(num_attention_heads=2000),
}
WEIGHTS = {
    "it has no inner.lm_head.tokens": lambda w: w.pop("inner.lm_head.tokens"),
    "inner.lm_head.tokens is no list of ids": lambda w: w.update({"inner.lm_head.tokens": torch.ones(64)}),
    "tokens are not ids in order": lambda w: w.update({"inner.lm_head.tokens": TOKENS.flip(0).contiguous()}),
    "its tokens are not ids in order": lambda w: w.update({"inner.lm_head.tokens": TOKENS + 250}),
    "tokens are not ids": lambda w: w.update({"inner.lm_head.tokens": TOKENS - 60}),
    "do not fit its config.json": lambda w: w.update({"fuse.weight": torch.ones(3, 5)}),
    "The weights in": lambda w: w.update({"surplus.weight": torch.ones(3)}),
    "fuse.weight holds I64, not floats": lambda w: w.update({"fuse.weight": torch.ones(32, 64).long()}),
    "fuse.weight holds numbers that are not finite": lambda w: w["fuse.weight"].view(-1)[7].fill_(torch.nan),
}
HALVES = {
    ".whole": "lacks the other half of its matrix",
    ".grid": "lacks the other half of its matrix",
}
SHAPES = {
    "a row less": lambda whole, grid: (whole, grid[1:]),
    "a group less": lambda whole, grid: (whole, grid[:, 1:]),
    "one number a group": lambda whole, grid: (whole, grid[..., :1]),
    "floats": lambda whole, grid: (whole.float(), grid),
    "one dimension": lambda whole, grid: (whole.flatten(), grid),
    "nothing": lambda whole, grid: (whole[:0], grid[:0]),
}


@pytest.mark.parametrize("says", CONFIGS)
def test_a_configuration_that_no_head_can_have_is_named(target, folder, says):
    config = json.loads((folder / "config.json").read_text())
    CONFIGS[says](config)
    (folder / "config.json").write_text(json.dumps(config))
    assert says in refusal(load_eagle_head, "head", folder, target)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"model_type": 3}'])
def test_what_is_no_configuration_makes_no_head(folder, text):
    (folder / "config.json").write_text(text)
    assert not is_eagle_head(folder)


@pytest.mark.parametrize("says", WEIGHTS)
def test_weights_that_no_head_can_have_are_named(target, folder, says):
    weights = load_file(folder / "model.safetensors")
    WEIGHTS[says](weights)
    save_file(weights, folder / "model.safetensors")
    assert says in refusal(load_eagle_head, "head", folder, target)


@pytest.mark.parametrize("folder", ["int4"], indirect=True)
@pytest.mark.parametrize("half", HALVES)
def test_half_a_matrix_in_4_bits_is_none(target, folder, half):
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith(half))
    del weights[name]
    save_file(weights, folder / "model.safetensors")
    of_target: Any = None  # which says nothing of a head
    for call in (
        load_eagle_head,
        lambda *_: estimate_draft(DraftSpec("model", str(folder)), of_target, itemsize=4, cached=4, tokens=9),
    ):
        assert HALVES[half] in refusal(call, "head", folder, target)


@pytest.mark.parametrize("folder", ["int4"], indirect=True)
@pytest.mark.parametrize("what", SHAPES)
def test_a_matrix_in_4_bits_has_the_shape_of_one(target, folder, what):
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith(".whole")).removesuffix(".whole")
    whole, grid = SHAPES[what](weights[f"{name}.whole"], weights[f"{name}.grid"])
    weights |= {f"{name}.whole": whole.contiguous(), f"{name}.grid": grid.contiguous()}
    save_file(weights, folder / "model.safetensors")
    assert "is no matrix in 4 bits" in refusal(load_eagle_head, "head", folder, target)


@pytest.mark.parametrize(
    "content",
    [{"tokens": torch.ones(3)}, {"others": torch.arange(3)}, {"tokens": torch.tensor([5, 4])}, {}]
    + [{"tokens": torch.tensor(each)} for each in ([-1, 2], [2, 259], [[1], [2]], [])],
)
def test_a_reduced_vocabulary_is_ids_in_order(target, tmp_path, content):
    save_file(
        {
            name: each.long() if name == "tokens" and content["tokens"].dim() > 1 else each
            for name, each in content.items()
        },
        tmp_path / REDUCED,
    )
    assert REDUCED in refusal(reduce_vocabulary, target.model, tmp_path)


def test_a_head_in_float16_can_be_held_in_8_bits(target, folder):
    dense = load_eagle_head("head", folder, target).model
    low = load_eagle_head("head", folder, target, quantize="int8").model
    assert any(isinstance(each, Int8Linear) for each in low.modules())
    assert not any(isinstance(each, Int8Linear) for each in dense.modules())


@pytest.mark.parametrize("folder", ["int4"], indirect=True)
def test_a_head_in_4_bits_is_not_rounded_again(target, folder):
    with pytest.raises(SpecdecError, match="in 4 bits already"):
        load_eagle_head("head", folder, target, quantize="int8")
