"""A GGUF file is converted once, exactly, and again if what was made of it is not whole."""

import json
from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.hub import gguf as convert
from specdec_cli.models.hub.manifest import MANIFEST, is_whole
from specdec_cli.models.loader import load_model

TOKENS = torch.tensor([[5, 9, 30, 7]])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    root = tmp_path / "cache"
    monkeypatch.setenv("SPECDEC_CACHE", str(root))
    return root


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return tiny.gguf_file(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def logits(loaded):
    with torch.no_grad():
        return loaded.model(TOKENS).logits


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


def cut_short(path, count):
    path.write_bytes(path.read_bytes()[:-count])
