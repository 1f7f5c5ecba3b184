"""Stored tensors that are too many, missing or of another shape are named, whichever way a model is loaded.

A topic of its own, since every loader of the rooms of `models` says it in the same words.
"""

import json
import re

import pytest
import torch
from stored_checkpoints import (
    EMBEDDING,
    HEAD,
    NORM,
    WAYS,
    loaded,
    plain_checkpoint,
    tied,
    with_tensor,
    without,
    written,
)

from specdec_cli.errors import SpecdecError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_checkpoint(tmp_path_factory.mktemp("plain") / "model")


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
    folder = written(plain, lambda tensors: None, tmp_path / "model", **written_as)
    settings = folder / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert loaded(folder, **how).stop_tokens == {1, 7, 9}
    settings.write_text("{")
    with pytest.raises(SpecdecError, match=r"generation_config\.json is damaged"):
        loaded(folder, **how)
