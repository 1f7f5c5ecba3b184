"""The rounded copy of a streamed target is the one that would be made of the target in memory."""

from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import MismatchError
from specdec_cli.models.hf.decoder_layers import decoder_layers
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.quantization.linear import KINDS
from specdec_cli.models.quantization.quantize import bytes_in, low_precision_copy
from specdec_cli.models.self_drafts import streamed
from specdec_cli.models.self_drafts.streamed import quantized_copy

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "initializer_range": 0.3}
VARIANTS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Llama, tied": {"architecture": "Llama", "tie_word_embeddings": True},
    "Qwen2": {},
    "Phi3": {"pad_token_id": 0},
    "GPT2": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 64, "n_inner": 100},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def offloaded(folder, resident=1):
    offload = Offload("disk", Workload(16, 8, 512), Limits(None, resident))
    return load_model(str(folder), device="cpu", dtype="float32", offload=offload)


@torch.inference_mode()
def logits(model):
    return model(input_ids=torch.tensor([[5, 9, 30, 7, 60]])).logits[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_a_copy_of_the_whole_model_bit_for_bit(tmp_path, kind, variant):
    folder = tiny.folder(tmp_path / "target", **{"architecture": variant, **SIZES, **VARIANTS[variant]})
    expected = logits(low_precision_copy(load_model(str(folder), dtype="float32").model, kind))
    target = offloaded(folder)
    said: list[str] = []
    made = quantized_copy(target, kind, said.append)
    found = quantized_copy(target, kind, said.append)
    assert len(said) == 1  # the second one comes from the disk
    assert torch.equal(logits(made.model), expected)
    assert torch.equal(logits(found.model), expected)
    assert made.parameters == found.parameters == target.parameters
    assert made.stream is None


def test_making_it_leaves_the_target_as_it_is(tmp_path):
    folder = tiny.folder(tmp_path / "target", **SIZES)
    expected = logits(load_model(str(folder), dtype="float32").model)
    target = offloaded(folder)
    quantized_copy(target, "int4", lambda _: None)
    assert torch.equal(logits(target.model), expected)


def test_other_weights_give_another_copy(tmp_path):
    first, second = (tiny.folder(tmp_path / str(seed), seed=seed, **SIZES) for seed in (0, 1))
    said: list[str] = []
    one, other = (quantized_copy(offloaded(folder), "int8", said.append) for folder in (first, second))
    assert len(said) == 2
    assert not torch.equal(logits(one.model), logits(other.model))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_bytes_it_takes_are_known_before(tmp_path, kind, variant):
    folder = tiny.folder(tmp_path / "target", **{"architecture": variant, **SIZES, **VARIANTS[variant]})
    target = offloaded(folder)
    duplicate = quantized_copy(target, kind, lambda _: None).model
    layers = decoder_layers(target.model)
    planned = bytes_in(kind, layers, torch.float32)
    held = decoder_layers(duplicate).state_dict()
    assert sum(tensor.nbytes for tensor in held.values()) == planned


def test_no_more_than_a_layer_is_rounded_at_a_time(tmp_path, monkeypatch):
    """The head of a large vocabulary is rounded in parts, to the same numbers."""
    folder = tiny.folder(tmp_path / "target", **SIZES)
    whole = quantized_copy(offloaded(folder), "int8", lambda _: None)
    monkeypatch.setattr(streamed, "HEAD_ROWS", 50)
    monkeypatch.setattr(streamed, "FORMAT", 99)
    parts = quantized_copy(offloaded(folder), "int8", lambda _: None)
    assert torch.equal(logits(whole.model), logits(parts.model))


def test_a_model_without_products_that_fit_is_refused(tmp_path):
    """A copy that rounds none of them would be the target, held in memory."""
    folder = tiny.folder(tmp_path / "target", architecture="GPT2", hidden_size=24, n_inner=48)
    with pytest.raises(MismatchError, match="No layer of this gpt2 model can be held in int4"):
        quantized_copy(offloaded(folder), "int4", lambda _: None)


def test_a_copy_packed_for_another_processor_is_not_read(tmp_path, monkeypatch):
    """torch lays 4 bits out as this processor's product wants them; cache folders are carried about."""
    target = offloaded(tiny.folder(tmp_path / "target", **SIZES))
    said: list[str] = []
    quantized_copy(target, "int4", said.append)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    quantized_copy(target, "int4", said.append)
    assert len(said) == 2
