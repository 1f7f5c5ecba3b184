"""A GPTQ checkpoint computes what its numbers stand for, in every variant of the format that is read."""

import json
from typing import Any

import pytest
import torch
from gptq_checkpoints import LAYERS, checkpoint, words_of
from safetensors.torch import load_file, save_file

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.models import hardware
from specdec_cli.models.hf.checkpoint import read_config
from specdec_cli.models.loader import load_model
from specdec_cli.models.quantization.gptq import gptq_bytes
from specdec_cli.models.quantization.gptq_config import Numbers
from specdec_cli.models.quantization.gptq_layer import unpack
from specdec_cli.models.quantization.linear import Int4Linear

WIDE = {"vocab_size": 288}
DOWN = r".*\.down_proj.*"
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 2, "pad_token_id": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "4 bits": {},
    "4 bits, activation order": {"act_order": True},
    "4 bits, version 2": {"version": "gptq_v2"},
    "4 bits, one group": {"size": -1},
    "4 bits, symmetric": {"symmetric": True},
    "4 bits, symmetric, version 2": {"symmetric": True, "version": "gptq_v2"},
    "4 bits, symmetric, version 2 by another name": {
        "symmetric": True, "version": "gptq_v2", "settings": {"checkpoint_format": "gptq"},
    },
    "4 bits, format in a newer key": {
        "version": "gptq_v2", "settings": {"checkpoint_format": None, "format": "gptq_v2", "meta": {"a": 1}},
    },
    "8 bits": {"bits": 8},
    "8 bits, version 2": {"bits": 8, "version": "gptq_v2"},
    "3 bits": {"bits": 3},
    "3 bits, version 2, activation order": {"bits": 3, "version": "gptq_v2", "act_order": True},
    "3 bits in planes": {"bits": 3, "version": "gptq_p"},
    "2 bits": {"bits": 2},
    "2 bits in planes": {"bits": 2, "version": "gptq_p"},
    "5 bits": {"bits": 5},
    "6 bits, version 2": {"bits": 6, "version": "gptq_v2"},
    "7 bits in planes": {"bits": 7, "version": "gptq_p"},
    "4 bits, biases": {"attention_bias": True},
    "4 bits, tied embeddings": {"tie_word_embeddings": True},
    "4 bits, Qwen2": {"architecture": "Qwen2"},
    "4 bits, a head too": {"also": ("lm_head",), "settings": {"lm_head": True}, **WIDE},
    "4 bits, a tied head too": {
        "also": ("lm_head",), "settings": {"lm_head": True}, "tie_word_embeddings": True, **WIDE,
    },
    "8 bits for some": {"bits_of": {"down_proj": 8}, "settings": {"dynamic": {f"+:{DOWN}": {"bits": 8}}}},
    "8 bits for some, no sign": {"bits_of": {"down_proj": 8}, "settings": {"dynamic": {DOWN: {"bits": 8}}}},
    "some left as they are": {"bits_of": {"down_proj": None}, "settings": {"dynamic": {f"-:{DOWN}": {}}}},
    "the first rule counts": {
        "bits_of": {"0.mlp.down_proj": None, "down_proj": 8},
        "settings": {"dynamic": {r"-:model\.layers\.0\.mlp\.down_proj": {}, DOWN: {"bits": 8}}},
    },
    "4 bits, GPT-2": {
        "architecture": "GPT2", "also": ("c_attn", "c_proj", "c_fc"), "n_embd": 64, "n_layer": 2, "n_head": 4,
    },
    "4 bits, a mixture of experts": {"architecture": "Mixtral", "also": ("w1", "w2", "w3"), **EXPERTS},
}  # fmt: skip


@torch.inference_mode()
def logits(folder, dtype="float32"):
    loaded = load_model(str(folder), device="cpu", dtype=dtype)
    return loaded, loaded.model(input_ids=torch.tensor([[5, 9, 30, 7, 60]])).logits[0].float()


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_computes_what_its_numbers_stand_for(tmp_path, variant):
    packed, dense = checkpoint(tmp_path, **VARIANTS[variant])
    (_, found), (_, expected) = logits(packed), logits(dense)
    error = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 1e-5


def test_in_bfloat16_it_differs_by_rounding_only(tmp_path):
    packed, dense = checkpoint(tmp_path)
    (_, found), (_, expected) = (logits(folder, "bfloat16") for folder in (packed, dense))
    assert (found - expected).square().mean().sqrt() < 0.05 * expected.square().mean().sqrt()


def test_a_zero_point_of_0_leaves_its_neighbours_alone():
    """It is stored as what borrows from the next number: read one by one, that would be one too low."""
    numbers = Numbers(4, 8, False, False, "gptq")
    zero = torch.tensor([[0, 8, 0, 0, 15, 1, 7, 0]])
    ones = 0x11111111
    words = (words_of(zero, 4).long() - ones) & (2**32 - 1)
    words = torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
    parts = {"qweight": words_of(torch.arange(64).view(8, 8) % 16, 4).T.contiguous(), "qzeros": words}
    layer = unpack("a", {**parts, "scales": torch.ones(1, 8)}, numbers)
    assert layer.zero.tolist() == zero.tolist()


def test_4_bit_layers_stay_packed_and_are_counted_whole(tmp_path):
    packed, dense = checkpoint(tmp_path)
    (kept, _), (full, _) = logits(packed), logits(dense)
    layer = kept.model.model.layers[0]
    assert all(isinstance(layer.get_submodule(f"self_attn.{name}"), Int4Linear) for name in LAYERS[:4])
    assert kept.parameters == full.parameters


def test_4_bits_hold_the_very_numbers_up_to_the_rounding_of_scales(tmp_path):
    packed, dense = checkpoint(tmp_path, act_order=True)
    (kept, _), (full, _) = logits(packed), logits(dense)
    for name in LAYERS[:4]:
        found = kept.model.model.layers[1].get_submodule(f"self_attn.{name}").dense()
        right = full.model.model.layers[1].get_submodule(f"self_attn.{name}").weight
        assert (found - right).abs().max() < right.abs().max() * 2**-7


def test_the_generation_settings_are_read(tmp_path):
    packed, _ = checkpoint(tmp_path)
    (packed / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 9]}))
    assert load_model(str(packed)).stop_tokens == {1, 9}


def test_settings_in_a_file_of_their_own_are_read(tmp_path):
    packed, dense = checkpoint(tmp_path)
    config = json.loads((packed / "config.json").read_text())
    settings = config.pop("quantization_config")
    (packed / "config.json").write_text(json.dumps(config))
    del settings["quant_method"]
    (packed / "quantize_config.json").write_text(json.dumps(settings))
    assert torch.allclose(logits(packed)[1], logits(dense)[1], atol=1e-4)
    (packed / "quantize_config.json").write_text("[")
    with pytest.raises(SpecdecError, match=r"quantize_config\.json is damaged"):
        load_model(str(packed))
    (packed / "quantize_config.json").unlink()
    with pytest.raises(SpecdecError, match="does not say in what way"):
        load_model(str(packed))


def test_the_order_of_inputs_may_be_left_out_where_groups_are_runs(tmp_path):
    packed, dense = checkpoint(tmp_path)
    stored = load_file(packed / "model.safetensors")
    save_file(
        {name: each for name, each in stored.items() if "g_idx" not in name}, packed / "model.safetensors"
    )
    assert torch.allclose(logits(packed)[1], logits(dense)[1], atol=1e-4)


def test_biases_of_older_writers_are_used_where_the_model_has_none(tmp_path):
    packed, dense = checkpoint(tmp_path)
    stored, name = load_file(packed / "model.safetensors"), "model.layers.0.self_attn.q_proj"
    save_file({**stored, f"{name}.bias": torch.full((64,), 2.0)}, packed / "model.safetensors")
    loaded, found = logits(packed)
    right = load_model(str(dense), device="cpu", dtype="float32")
    right.model.get_submodule(name).bias = torch.nn.Parameter(torch.full((64,), 2.0))
    with torch.inference_mode():
        expected = right.model(input_ids=torch.tensor([[5, 9, 30, 7, 60]])).logits[0]
    assert torch.allclose(found, expected, atol=1e-4)
    assert loaded.warnings == ()


@pytest.mark.parametrize("bits", [4, 8])
def test_the_bytes_it_takes_are_known_before(tmp_path, bits):
    """What becomes dense counts as dense; groups of 32 take 4 bytes of scales for 16 of numbers."""
    packed, _ = checkpoint(tmp_path, bits=bits)
    config = read_config(packed)
    needed = gptq_bytes(packed, config, torch.bfloat16, packed=True)
    held = load_model(str(packed), device="cpu", dtype="bfloat16").weight_bytes
    assert needed == pytest.approx(held, rel=0.01)


def test_a_dense_model_that_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    packed, _ = checkpoint(tmp_path, bits=2)
    stored = sum(path.stat().st_size for path in packed.glob("*.safetensors"))
    monkeypatch.setattr(hardware, "free_memory", lambda _: stored)
    with pytest.raises(ResourceError):
        load_model(str(packed), device="cpu", dtype="float32")


def test_a_checkpoint_of_pickled_tensors_is_read_like_one_of_safetensors(tmp_path):
    packed, _ = checkpoint(tmp_path)
    _, expected = logits(packed)
    weights = load_file(packed / "model.safetensors")
    (packed / "model.safetensors").unlink()
    torch.save(weights, packed / "pytorch_model.bin")
    assert torch.equal(logits(packed)[1], expected)


def test_pickles_that_are_more_than_tensors_are_refused(tmp_path):
    packed, _ = checkpoint(tmp_path)
    (packed / "model.safetensors").unlink()
    torch.save({"steps": 3}, packed / "pytorch_model.bin")
    with pytest.raises(InputError, match="something else than tensors"):
        load_model(str(packed), device="cpu", dtype="float32")
