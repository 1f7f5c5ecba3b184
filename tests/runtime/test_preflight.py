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
from specdec_cli.models.quantization import bitsandbytes
from specdec_cli.runtime import preflight as preflight_module
from specdec_cli.runtime import session as session_module
from specdec_cli.runtime.preflight import preflight, preflight_drafts, require_usable
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft

SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 16, "max_position_embeddings": 64,
}  # fmt: skip


def head_for(folder: Path, target: Path, hidden: int = 32, store: str = "float16") -> Path:
    """A head with random weights for a target of that tokenizer and size of hidden states."""
    folder.mkdir()
    embedding = torch.nn.Embedding(len(tiny.WORDS), hidden)
    shape = {**SHAPE, "hidden_size": hidden}
    head = new_eagle_head(embedding, torch.arange(8), 1, shape, torch.float32)
    digest = vocabulary_digest(read_tokenizer(target))
    save_eagle_head(head, MadeFor("tiny", hidden, digest), folder, store)
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
        "4-bit head": head_for(root / "low", target, store="int4"),
        "no template": tiny.folder(root / "no template", template=None),
        "cut head": head_for(root / "cut head", target),
    }
    os.truncate(found["cut head"] / "model.safetensors", 100)
    return {name: str(folder) for name, folder in found.items()}


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session_module, "load_checked", lambda *_, **__: pytest.fail("weights were read"))
    monkeypatch.setattr(bitsandbytes, "find_spec", lambda name: None)
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
    "a precision that an early exit cannot have": (
        {"draft_quantize": "bnb-4bit"}, InputError, "cannot be rounded to bnb-4bit",
    ),
    "a precision that a copy cannot have": (
        {"draft": "self:int4", "draft_quantize": "bnb-8bit"}, InputError, "cannot be rounded to bnb-8bit",
    ),
    "a head that is held in 4 bits already": (
        {"draft": "4-bit head", "draft_quantize": "int8"}, InputError, "held in 4 bits already",
    ),
    "a target for a package that is not there": (
        {"quantize": "bnb-4bit", "draft": "ngram"}, InputError, "bnb-4bit needs bitsandbytes",
    ),
    "a draft for a package that is not there": (
        {"draft": "target", "draft_quantize": "bnb-8bit"}, InputError, "bnb-8bit needs bitsandbytes",
    ),
    "a system message without a template": (
        {"draft": "ngram", "system": "x", "chat": False}, InputError, "needs a chat template",
    ),
    "a template that there is not": (
        {"target": "no template", "draft": "ngram", "chat": True}, InputError, "has no chat template",
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
    "a member with a running state": (
        {"method": "we", "models": ("target", "stateful")}, MismatchError, "guesses cannot be removed from",
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


PARTS = ["layers:1", "self:int4", "head"]  # drafts with weights of the target's


@pytest.fixture
def two_devices(monkeypatch):
    """A machine with a GPU, as far as devices are told apart before anything is loaded."""
    monkeypatch.setattr(
        preflight_module, "resolve_device", lambda name: torch.device("cpu" if name == "auto" else name)
    )


@pytest.mark.parametrize("draft", PARTS)
def test_what_shares_the_targets_weights_lies_on_the_targets_device(draft, folders, two_devices):
    settings = Settings(target=folders["target"], method="sps", draft=named(folders, draft))
    spec = parse_draft(named(folders, draft))
    require_usable(replace(settings, draft_device="cpu"), spec)
    with pytest.raises(InputError, match="shares the target's weights on cpu") as refused:
        require_usable(replace(settings, draft_device="cuda"), spec)
    assert "cuda" in str(refused.value)


@pytest.mark.parametrize(
    ("draft", "quantize"), [("self:int4", "none"), ("layers:1", "int8"), ("head", "int8")]
)
def test_low_precision_of_the_targets_weights_needs_a_cpu(draft, quantize, folders, two_devices):
    spec = parse_draft(named(folders, draft))
    settings = Settings(target=folders["target"], method="sps", draft=spec.text, draft_quantize=quantize)
    require_usable(settings, spec)
    with pytest.raises(InputError, match="CPU"):
        require_usable(replace(settings, device="cuda"), spec)


@pytest.mark.parametrize("wrong", ["layers:3", "other", "foreign head", "rrsw 4xx2"])
def test_the_last_draft_of_a_sweep_is_checked_before_the_first_is_loaded(wrong, folders):
    right = Settings(target=folders["target"], method="sps", draft="layers:1", dtype="float32")
    preflight_drafts(
        [right, replace(right, draft="self:int4"), replace(right, draft="ngram")], lambda _: None
    )
    last = (
        replace(right, method="rrsw", tree="4xx2")
        if wrong.startswith("rrsw")
        else replace(right, draft=named(folders, wrong))
    )
    with pytest.raises((InputError, MismatchError)):
        preflight_drafts([right, last], lambda _: None)


def test_a_draft_that_many_configurations_share_is_compared_once(folders):
    said: list[str] = []
    right = Settings(target=folders["target"], method="sps", draft=folders["target"], dtype="float32")
    preflight_drafts([replace(right, gamma=gamma) for gamma in range(1, 9)], said.append)
    assert said == ["Comparing the vocabularies"]
