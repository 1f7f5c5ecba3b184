"""Drafts cut and copied from a target of any architecture: the text stays what plain decoding writes."""

from typing import Any

import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "initializer_range": 0.2}
PER_LAYER = {
    "vocab_size_per_layer_input": len(tiny.WORDS),
    "hidden_size_per_layer_input": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": 4,
    "num_kv_shared_layers": 2,
}
TARGETS: dict[str, dict[str, Any]] = {
    "Llama, odd": {"hidden_size": 40, "intermediate_size": 52, "head_dim": 10, "vocab_size": len(tiny.WORDS)},
    "GPT2": {},
    "Falcon": {"head_dim": ..., "new_decoder_architecture": True, "num_kv_heads": 2},
    "Gemma3nText": {
        **PER_LAYER,
        "laurel_rank": 4,
        "altup_num_inputs": 2,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "Gemma4Text": PER_LAYER,
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "pad_token_id": 0},
    "ModernBertDecoder": {"head_dim": ..., "local_attention": 8, "pad_token_id": 0},
}
DRAFTS = ("layers:1", "layers:3", "self:int8", "self:int4", "self:noise:0.05")


@pytest.fixture(scope="module", params=TARGETS)
def target(request, tmp_path_factory):
    """A checkpoint, and the text that plain decoding writes with it."""
    changes = {"architecture": request.param.partition(",")[0], **SIZES, **TARGETS[request.param]}
    folder = tiny.folder(tmp_path_factory.mktemp("target") / "tiny", **changes)
    return folder, text(Session.load(settings(folder, method="autoregressive")))


def settings(folder, **fields):
    fixed = {"max_tokens": 12, "ignore_eos": True, "chat": False, "dtype": "float32", "threads": 1}
    return Settings(target=str(folder), **{**fixed, **fields})


def text(session):
    return [token for step in session.steps(session.encode("ab ab")) for token in step.tokens]


@pytest.mark.parametrize("draft", DRAFTS)
def test_the_text_is_plain_decodings(target, draft):
    folder, expected = target
    method = "specexec" if draft == "layers:3" else "sps"
    if draft == "self:int4" and 'hidden_size": 40' in (folder / "config.json").read_text():
        with pytest.raises(MismatchError, match="No layer of this llama model can be held in int4"):
            Session.load(settings(folder, method=method, draft=draft))
        return
    session = Session.load(settings(folder, method=method, draft=draft))
    assert text(session) == expected


def test_layers_of_lower_precision_draft_too(target):
    folder, expected = target
    session = Session.load(settings(folder, method="sps", draft="layers:2", draft_quantize="int8"))
    assert text(session) == expected


def test_a_rounded_target_has_one_text_with_and_without_a_draft(target):
    folder, _ = target
    fields = {"quantize": "int8"}
    plain = text(Session.load(settings(folder, method="autoregressive", **fields)))
    assert text(Session.load(settings(folder, method="sps", draft="layers:2", **fields))) == plain


def test_how_much_of_a_mixture_is_rounded_is_a_warning(tmp_path):
    folder = tiny.folder(tmp_path / "tiny", architecture="Mixtral", **{**SIZES, **TARGETS["Mixtral"]})
    session = Session.load(settings(folder, method="sps", draft="self:int4"))
    assert [each for each in session.warnings if "held in int4; its experts" in each] == session.warnings
    session = Session.load(settings(folder, method="autoregressive", quantize="int8"))
    assert len(session.warnings) == 1


@pytest.mark.parametrize("count", [4, 99])
def test_more_layers_than_there_are_are_refused_before_weights_are_read(tmp_path, count, monkeypatch):
    folder = tiny.folder(tmp_path / "tiny", **SIZES)
    monkeypatch.setattr(
        "specdec_cli.runtime.session.load_checked", lambda *_, **__: pytest.fail("weights were read")
    )
    with pytest.raises(InputError, match=f"has 4 layers, so a draft of {count}"):
        Session.load(settings(folder, method="sps", draft=f"layers:{count}"))
