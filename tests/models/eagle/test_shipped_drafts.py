"""The drafts that travel with the program are whole, small, and somebody's default."""

import json

import pytest
import torch
from torch import nn

from specdec_cli.models.eagle.checkpoint import read_weights
from specdec_cli.models.eagle.files import head_size, is_eagle_head
from specdec_cli.models.eagle.head import new_eagle_head, stored_weights
from specdec_cli.registry.models import REGISTRY
from specdec_cli.resources import shipped_drafts
from specdec_cli.settings.draft_spec import default_model

DRAFTS = shipped_drafts()
LARGEST = 32 * 1024**2  # bytes of all of them in the repository


def test_each_is_the_default_draft_of_the_target_that_it_was_made_for():
    made_for = {name: json.loads((DRAFTS[name] / "config.json").read_text())["made_for"] for name in DRAFTS}
    assert DRAFTS
    assert {name: default_model(each["name"]) for name, each in made_for.items()} == {
        name: name for name in DRAFTS
    }
    assert {each["name"] for each in made_for.values()} <= set(REGISTRY)


@pytest.mark.parametrize("name", DRAFTS)
def test_its_folder_holds_a_head_and_a_card_that_says_where_it_came_from(name):
    folder = DRAFTS[name]
    assert is_eagle_head(folder)
    recipe = json.loads((folder / "draft.json").read_text())["recipe"]
    card = (folder / "README.md").read_text()
    for word in (recipe["target"], f"--tokens {recipe['tokens']}", "Apache-2.0"):
        assert word in card


def test_all_of_them_together_stay_small():
    files = [path for folder in DRAFTS.values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST


@pytest.mark.parametrize("name", DRAFTS)
def test_its_weights_fill_a_head_of_its_shape(name):
    config = json.loads((DRAFTS[name] / "config.json").read_text())
    dense, _ = read_weights(DRAFTS[name])
    tokens = dense["inner.lm_head.tokens"]
    embedding = nn.Embedding(int(tokens.max()) + 1, config["shape"]["hidden_size"])
    head = new_eagle_head(embedding, tokens, config["layers"], config["shape"], torch.float32)
    assert dense.keys() == stored_weights(head).keys()
    head.load_state_dict(dense, strict=False)
    assert all(bool(weight.isfinite().all()) for weight in head.parameters())
    count = sum(weight.numel() for name, weight in dense.items() if name != "inner.lm_head.tokens")
    assert head_size(DRAFTS[name], 4, on_cpu=False) == (count, 4 * count + 8 * len(tokens))
    assert count / 2 < head_size(DRAFTS[name], 4, on_cpu=True)[1] < count
