"""Every refusal that needs no weights comes before a byte of them is read."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, MismatchError, ResourceError, SpecdecError
from specdec_cli.models import hardware
from specdec_cli.models.eagle.checkpoint import save_eagle_head, vocabulary_digest
from specdec_cli.models.eagle.files import MadeFor
from specdec_cli.models.eagle.head import new_eagle_head
from specdec_cli.models.hf.tokenizer import read_tokenizer
from specdec_cli.runtime import session as session_module
from specdec_cli.runtime.preflight import preflight
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_position_embeddings": 64,
}  # fmt: skip


def head_for(folder: Path, target: Path, hidden: int = 32) -> Path:
    """A head with random weights for a target of that tokenizer and size of hidden states."""
    folder.mkdir()
    embedding = torch.nn.Embedding(len(tiny.WORDS), hidden)
    shape = {**SHAPE, "hidden_size": hidden}
    head = new_eagle_head(embedding, torch.arange(8), 1, shape, torch.float32)
    digest = vocabulary_digest(read_tokenizer(target))
    save_eagle_head(head, MadeFor("tiny", hidden, digest), folder, "float16")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    target = tiny.folder(root / "target", num_hidden_layers=3)
    other = tiny.folder(root / "other", words=tiny.ASCII)
    stateful = tiny.folder(root / "stateful")
    lacking = tiny.folder(root / "lacking")
    (lacking / "model.safetensors").unlink()
    cut = tiny.folder(root / "cut")
    os.truncate(cut / "model.safetensors", (cut / "model.safetensors").stat().st_size - 100)
    config = json.loads((stateful / "config.json").read_text())
    config |= {"model_type": "qwen3", "layer_types": ["linear_attention", "full_attention"]}
    (stateful / "config.json").write_text(json.dumps(config))
    own = head_for(root / "head", target)
    found = {
        "target": target,
        "other": other,
        "stateful": stateful,
        "lacking": lacking,
        "cut": cut,
        "head": own,
        "wide head": head_for(root / "wide", target, 64),
        "foreign head": head_for(root / "foreign", other),
        "cut head": head_for(root / "cut head", target),
    }
    os.truncate(found["cut head"] / "model.safetensors", 100)
    return {name: str(folder) for name, folder in found.items()}


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session_module, "load_checked", lambda *_, **__: pytest.fail("weights were read"))
    monkeypatch.setattr(session_module, "load_draft", lambda *_, **__: pytest.fail("weights were read"))


REFUSALS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a draft that is none": ({"draft": "layers:x"}, InputError, "does not say how many layers"),
    "no default draft": ({"draft": None}, InputError, "has no default one"),
    "copied guesses for a method that takes none": (
        {"method": "kseq", "draft": "ngram+layers:1"}, InputError, "takes no copied guesses",
    ),
    "samples of n-grams": ({"method": "rrsw", "draft": "ngram"}, InputError, "draws samples"),
    "a tree that is none": ({"method": "rrsw", "tree": "2^^2"}, InputError, "2\\^\\^2"),
    "a device that is none": ({"device": "tpu"}, InputError, "tpu"),
    "a device of the draft that is none": ({"draft_device": "tpu"}, InputError, "tpu"),
    "another device than the weights'": (
        {"draft": "layers:1", "draft_device": "meta"}, SpecdecError, "meta",
    ),
    "a precision that an early exit cannot have": (
        {"draft_quantize": "bnb-4bit"}, InputError, "cannot be rounded to bnb-4bit",
    ),
    "as many layers as there are": ({"draft": "layers:3"}, InputError, "has 3 layers"),
    "a target that is not there": ({"target": "./nowhere", "draft": "ngram"}, SpecdecError, "nowhere"),
    "a target without weights": ({"target": "lacking", "draft": "ngram"}, SpecdecError, "holds no weights"),
    "a target cut short": ({"target": "cut", "draft": "ngram"}, SpecdecError, "cut"),
    "a target with a running state": (
        {"target": "stateful", "draft": "ngram"}, MismatchError, "guesses cannot be removed from",
    ),
    "a draft that is not there": ({"draft": "./nowhere"}, SpecdecError, "nowhere"),
    "a draft of another vocabulary": ({"draft": "other"}, MismatchError, "cannot draft for"),
    "a draft cut short": ({"draft": "cut"}, SpecdecError, "cut"),
    "a draft with a running state": (
        {"draft": "stateful"}, MismatchError, "guesses cannot be removed from",
    ),
    "a head for other tokens": ({"draft": "foreign head"}, MismatchError, "cannot read the hidden states"),
    "a head for other hidden states": ({"draft": "wide head"}, MismatchError, "cannot read the hidden"),
    "a head cut short": ({"draft": "cut head"}, InputError, "damaged"),
    "a head as a member": (
        {"method": "we", "models": ("target", "head")}, MismatchError, "is no model by itself",
    ),
    "a member of another vocabulary": (
        {"method": "we", "models": ("target", "other")}, MismatchError, "cannot be combined token by token",
    ),
    "n-grams as a member": ({"method": "we", "models": ("target", "ngram")}, InputError, "is no model"),
    "layers of a streamed target that do not stay": (
        {"offload": "disk", "draft": "layers:1", "resident_layers": 0}, InputError, "needs its layers",
    ),
    "noise on a streamed target": (
        {"offload": "disk", "draft": "self:noise:0.1"}, InputError, "needs all weights in memory",
    ),
    "less memory than a streamed target takes": (
        {"offload": "disk", "draft": "ngram", "memory_limit": "1MiB"}, ResourceError, "may take",
    ),
}  # fmt: skip


def named(folders, value):
    if isinstance(value, tuple):
        return tuple(folders.get(each, each) for each in value)
    return folders.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("case", REFUSALS)
def test_it_is_refused_before_weights_are_read(case, folders):
    changes, error, problem = REFUSALS[case]
    usual: dict[str, Any] = {"target": "target", "method": "sps", "draft": "layers:1", "dtype": "float32"}
    given = {
        name: value if name in ("method", "tree") else named(folders, value)
        for name, value in (usual | changes).items()
    }
    if given["method"] == "we":
        del given["draft"]
    with pytest.raises(error, match=problem):
        Session.load(Settings(**given))


def test_what_is_not_refused_gets_to_the_weights(folders):
    for draft in ("ngram", "layers:1", "self:int4", folders["head"], folders["target"]):
        with pytest.raises(pytest.fail.Exception, match="weights were read"):
            Session.load(Settings(target=folders["target"], method="sps", draft=draft, dtype="float32"))


def test_memory_is_asked_for_together_before_anything_is_loaded(folders, monkeypatch):
    settings = Settings(target=folders["target"], method="sps", draft=folders["target"], dtype="bfloat16")
    settings = replace(settings, draft_quantize="none")
    found = preflight(settings, lambda _: None)
    alone = found.target.memory
    assert alone > 0
    assert [each.model and each.model.memory for each in found.beside] == [alone]
    monkeypatch.setattr(hardware, "free_memory", lambda _: alone + alone // 2)
    with pytest.raises(ResourceError, match=r"Loading .* and "):
        preflight(settings, lambda _: None)
    monkeypatch.setattr(hardware, "free_memory", lambda _: 2 * alone)
    preflight(settings, lambda _: None)


def test_no_more_of_the_weights_is_read_than_their_header(tmp_path):
    folder = tiny.folder(tmp_path / "large", hidden_size=512, intermediate_size=1024, num_hidden_layers=2)
    size = (folder / "model.safetensors").stat().st_size
    before = bytes_read()
    preflight(Settings(target=str(folder), method="sps", draft="layers:1"), lambda _: None)
    assert size > 10 << 20
    assert bytes_read() - before < size // 4


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))
