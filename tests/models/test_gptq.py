"""A GPTQ checkpoint computes what its numbers stand for, in every variant of the format that is read."""

import json

import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.errors import SpecdecError
from specdec_cli.models.loader import load_model
from specdec_cli.models.low_precision import Int4Linear

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SIZES = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "initializer_range": 0.3}


def words_of(fields, bits):
    """Whole numbers (R, C, 32 / bits) to int32 words (R, C), the first number in the lowest bits."""
    words = torch.zeros(fields.shape[:2], dtype=torch.int64)
    for place in range(32 // bits):
        words |= fields[:, :, place].long() << (bits * place)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def quantised(weight, bits, size, order, version):
    """The tensors of a layer, and the weight (N, K) that they stand for."""
    inputs = weight.shape[1]
    groups = torch.arange(inputs) // size
    if order is not None:
        groups = groups[order]
    count = inputs // size
    low = torch.stack([weight[:, groups == group].amin(1) for group in range(count)])
    high = torch.stack([weight[:, groups == group].amax(1) for group in range(count)])
    scale = ((high - low) / (2**bits - 1)).half()
    zero = (-low / scale.float()).round().clamp(1, 2**bits - 1).int()
    whole = (weight.T / scale.float()[groups] + zero[groups]).round().clamp(0, 2**bits - 1).int()
    fields = 32 // bits
    stored = zero - (0 if version == "gptq_v2" else 1)
    tensors = {
        "qweight": words_of(whole.unflatten(0, (-1, fields)).transpose(1, 2), bits),
        "qzeros": words_of(stored.unflatten(1, (-1, fields)), bits),
        "scales": scale,
        "g_idx": groups.int(),
    }
    return tensors, (scale.float()[groups] * (whole - zero[groups])).T


def checkpoint(folder, *, bits=4, size=32, act_order=False, version="gptq", shuffle=0, **changes):
    """A GPTQ folder, and the folder of the dense model that it stands for."""
    dense = tiny.folder(folder / "dense", **{**SIZES, **changes})
    packed = tiny.folder(folder / "packed", **{**SIZES, **changes})
    weights = load_file(dense / "model.safetensors")
    stored = dict(weights)
    for name, weight in weights.items():
        if name.removesuffix(".weight").rpartition(".")[2] in LAYERS:
            columns = weight.shape[1]
            order = torch.randperm(columns, generator=torch.Generator().manual_seed(1)) if act_order else None
            group = columns if size == -1 else size
            tensors, weights[name] = quantised(weight, bits, group, order, version)
            del stored[name]
            stored |= {f"{name.removesuffix('weight')}{part}": each for part, each in tensors.items()}
    save_file({name: each.contiguous() for name, each in weights.items()}, dense / "model.safetensors")
    save_file(stored, packed / "model.safetensors")
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": act_order,
        "checkpoint_format": version,
    }  # fmt: skip
    (packed / "config.json").write_text(json.dumps(config))
    return packed, dense


VARIANTS = {
    "4 bits": {},
    "4 bits, activation order": {"act_order": True},
    "4 bits, version 2": {"version": "gptq_v2"},
    "4 bits, one group": {"size": -1},
    "8 bits": {"bits": 8},
    "2 bits": {"bits": 2},
    "4 bits, biases": {"attention_bias": True},
    "4 bits, tied embeddings": {"tie_word_embeddings": True},
    "4 bits, Qwen2": {"architecture": "Qwen2"},
}


@torch.inference_mode()
def logits(folder):
    loaded = load_model(str(folder), dtype="float32")
    return loaded, loaded.model(input_ids=torch.tensor([[5, 9, 30, 7, 60]])).logits[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_computes_what_its_numbers_stand_for(tmp_path, variant):
    packed, dense = checkpoint(tmp_path, **VARIANTS[variant])
    (_, found), (_, expected) = logits(packed), logits(dense)
    error = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < (
        1e-5 if VARIANTS[variant].get("bits", 4) != 4 else 0.05
    )  # scales and activations in bfloat16


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


def test_a_number_of_bits_that_is_not_read_is_named(tmp_path):
    packed, _ = checkpoint(tmp_path)
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"]["bits"] = 9
    (packed / "config.json").write_text(json.dumps(config))
    with pytest.raises(SpecdecError, match="GPTQ weights of 9 bits cannot be read"):
        load_model(str(packed))


def test_missing_weights_are_named(tmp_path):
    packed, _ = checkpoint(tmp_path)
    stored = load_file(packed / "model.safetensors")
    del stored["model.norm.weight"]
    save_file(stored, packed / "model.safetensors")
    with pytest.raises(SpecdecError, match=r"lacks 1 of the model's weights, such as model\.norm\.weight"):
        load_model(str(packed))


def test_a_layer_without_its_scales_is_refused(tmp_path):
    packed, _ = checkpoint(tmp_path)
    stored = load_file(packed / "model.safetensors")
    del stored["model.layers.0.self_attn.q_proj.scales"]
    save_file(stored, packed / "model.safetensors")
    with pytest.raises(SpecdecError, match="lacks its scales"):
        load_model(str(packed))


def test_the_generation_settings_are_read(tmp_path):
    packed, _ = checkpoint(tmp_path)
    (packed / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 9]}))
    assert load_model(str(packed)).stop_tokens == {1, 9}
