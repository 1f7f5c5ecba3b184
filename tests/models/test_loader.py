"""A model in a folder is loaded ready to run, or refused with what is wrong."""

import json

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.models import hardware
from specdec_cli.models.loader import load_model, load_tokenizer_only
from specdec_cli.runtime.preflight import preflight
from specdec_cli.settings import Settings

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


def logits(loaded):
    with torch.no_grad():
        return loaded.model(TOKENS).logits


def test_a_folder_loads_ready_to_run(folder):
    loaded = load_model(str(folder), dtype="float32", device="cpu")
    assert torch.equal(logits(loaded), tiny.model()(TOKENS).logits)
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert loaded.context == 128
    assert loaded.source == str(folder)
    assert loaded.parameters == sum(weight.numel() for weight in tiny.model().parameters())
    assert loaded.model.config._attn_implementation == "sdpa"


def test_stop_tokens_are_the_tokenizers_and_the_generation_settings(folder):
    settings = folder / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert load_model(str(folder)).stop_tokens == {1, 7, 9}
    settings.write_text(json.dumps({"eos_token_id": 7}))
    assert load_model(str(folder)).stop_tokens == {1, 7}


def test_loading_says_nothing_on_its_own(folder, capfd):
    load_model(str(folder))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_the_number_format_is_the_one_asked_for(folder, name):
    loaded = load_model(str(folder), dtype=name)
    assert loaded.dtype == loaded.model.dtype == getattr(torch, name)


@pytest.mark.parametrize(
    "flags",
    [{"device": "tpu"}, {"device": "mps"}, {"device": "cuda:99"}, {"dtype": "int3"}, {"revision": "v2"}],
)
def test_a_flag_that_does_not_fit_is_a_usage_error(folder, flags):
    with pytest.raises(InputError):
        load_model(str(folder), **flags)


def test_a_model_larger_than_free_memory_is_refused_with_both_numbers(folder, monkeypatch):
    monkeypatch.setattr(hardware, "free_memory", lambda _: 10_000)
    with pytest.raises(ResourceError, match=r"needs 0\.0 GB of memory; cpu has 0\.0 GB free") as caught:
        load_model(str(folder))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be used"),
        (lambda f: (f / "config.json").write_text('{"model_type": "nonesuch"}'), "cannot be used"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0[]"), "header"),
        (lambda f: cut_short(f / "model.safetensors", 100), "its header promises"),
        (lambda f: cut_short(f / "model.safetensors", -500), "cut short"),
        (lambda f: change(f / "config.json", hidden_size=64), "cannot be loaded"),
        (lambda f: change(f / "config.json", num_hidden_layers=3), "lacks 9 of the model's weights"),
    ],
)
def test_a_damaged_folder_is_one_line_not_a_traceback(folder, damage, message):
    damage(folder)
    with pytest.raises(SpecdecError, match=message) as caught:
        load_model(str(folder))
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.problem + caught.value.hint


def cut_short(path, count):
    path.write_bytes(path.read_bytes()[:-count])


def change(path, **settings):
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_missing_shard_is_named(tmp_path):
    path = tmp_path / "sharded"
    tiny.model().save_pretrained(path, max_shard_size="50KB")
    tiny.tokenizer().save_pretrained(path)
    assert load_model(str(path)).parameters > 0
    lost = sorted(path.glob("*.safetensors"))[0]
    lost.unlink()
    with pytest.raises(SpecdecError, match=lost.name):
        load_model(str(path))


@pytest.mark.parametrize("architecture", ["T5", "Bert", "ViT"])
def test_a_model_that_is_not_causal_is_refused_by_kind(tmp_path, architecture):
    import transformers

    getattr(transformers, f"{architecture}Config")().save_pretrained(tmp_path)
    with pytest.raises(SpecdecError, match=f"holds a {architecture.lower()} model"):
        load_model(str(tmp_path))


def test_a_model_with_code_of_its_own_needs_the_flag_for_it(folder):
    change(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})
    with pytest.raises(InputError) as caught:
        load_model(str(folder))
    assert "--trust-remote-code" in caught.value.hint


def test_an_adapter_and_a_folder_of_gguf_files_say_what_to_do(tmp_path, gguf):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(SpecdecError, match="an adapter"):
        load_model(str(tmp_path))
    with pytest.raises(SpecdecError) as caught:
        load_model(str(gguf.parent))
    assert str(gguf) in caught.value.hint


def test_the_tokenizer_alone_needs_no_weights(folder):
    (folder / "model.safetensors").unlink()
    tokenizer, vocab_size = load_tokenizer_only(str(folder))
    assert tokenizer.size == vocab_size == len(tiny.WORDS)


def test_the_configuration_and_the_tokenizer_need_none_of_the_files_that_an_index_lists(tmp_path):
    """As a hub's folder is while only its small files were fetched: before a draft is compared, or cut."""
    folder = tiny.folder(tmp_path / "sharded", num_hidden_layers=2)
    (folder / "model.safetensors").unlink()
    tiny.model(num_hidden_layers=2).save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    for kept in (shards[1:], []):
        for shard in set(folder.glob("model-*.safetensors")) - set(kept):
            shard.unlink()
        assert load_tokenizer_only(str(folder))[1] == len(tiny.WORDS)
        settings = Settings(target=str(folder), method="sps", draft="layers:2")
        with pytest.raises(InputError, match="has 2 layers, so a draft of 2"):
            preflight(settings, lambda _: None)
        with pytest.raises(SpecdecError, match=f"{shards[0].name}, which it lists, is not there"):
            load_model(str(folder))
