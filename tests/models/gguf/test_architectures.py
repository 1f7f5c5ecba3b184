"""A converted file of every architecture computes what the model that it was written from computes."""

from typing import Any

import gguf_files as files
import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from gguf_files import converted, difference

from specdec_cli.errors import InputError
from specdec_cli.models.gguf.architectures import ARCHITECTURES

APART = {"tie_word_embeddings": False}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
EXPERT_KEYS = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24}
FALCON = {"head_dim": ..., "ffn_hidden_size": 48, "alibi": False, "bias": False, "parallel_attn": True}


def lively(model):
    """Norms and biases that are not all 1 and 0, so that a swapped or forgotten one shows."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "bloom": (
        "Bloom",
        {"n_layer": 2, "n_head": 4},
        {"fused": 4},
        {"feed_forward_length": 128, "context_length": 128, "attention.head_count_kv": None},
    ),
    "command-r": ("Cohere", {"logit_scale": 0.25}, {}, {"logit_scale": 0.25}),
    "falcon": (
        "Falcon",
        {**FALCON, "multi_query": True, "num_kv_heads": 1, "new_decoder_architecture": False},
        {"fused": 1},
        {
            "attention.head_count_kv": 1,
            "feed_forward_length": 48,
            "attention.key_length": None,
            "attention.value_length": None,
        },
    ),
    "falcon of groups": (
        "Falcon",
        {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True},
        {"fused": 2},
        {
            "attention.head_count_kv": 2,
            "feed_forward_length": 48,
            "attention.key_length": None,
            "attention.value_length": None,
        },
    ),
    "gemma": ("Gemma", {}, {"plus_one": True}, {}),
    "gemma2": (
        "Gemma2",
        {"sliding_window": 8, "query_pre_attn_scalar": 8},
        {"plus_one": True},
        {"attention.sliding_window": 8, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "gemma2 with other caps": (
        "Gemma2",
        {
            "sliding_window": 8,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        {"plus_one": True},
        {"attention.sliding_window": 8, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": (
        "Gemma3Text",
        {"sliding_window": 8, "query_pre_attn_scalar": 8, "num_hidden_layers": 7},
        {"plus_one": True},
        {"attention.sliding_window": 8, "rope.freq_base": 1e6},
    ),
    "gemma3 with a pattern of its own": (
        "Gemma3Text",
        {
            "sliding_window": 8,
            "query_pre_attn_scalar": 8,
            "layer_types": ["full_attention", "sliding_attention"],
        },
        {"plus_one": True},
        {
            "attention.sliding_window": 8,
            "rope.freq_base": 1e6,
            "attention.sliding_window_pattern": [False, True],
        },
    ),
    "gpt2": (
        "GPT2",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 48},
        {"transposed": True},
        {"feed_forward_length": 48, "attention.head_count_kv": None},
    ),
    "gptneox": (
        "GPTNeoX",
        {"rotary_pct": 0.5, **APART},
        {"fused": 4},
        {"rope.dimension_count": 4, "use_parallel_residual": True, "attention.head_count_kv": None},
    ),
    "gptneox in series": (
        "GPTNeoX",
        {"rotary_pct": 0.5, "use_parallel_residual": False, **APART},
        {"fused": 4},
        {"rope.dimension_count": 4, "use_parallel_residual": False, "attention.head_count_kv": None},
    ),
    "granite": (
        "Granite",
        {
            "attention_multiplier": 0.2,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "logits_scaling": 2.0,
            **APART,
        },
        {"paired": True},
        {"attention.scale": 0.2, "embedding_scale": 3.0, "residual_scale": 0.5, "logit_scale": 2.0},
    ),
    "llama": ("Llama", APART, {"paired": True}, {}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True, **APART}, {"paired": True}, {}),
    "llama with a tied head": ("Llama", {"tie_word_embeddings": True}, {"paired": True}, {}),
    "llama with wide heads": ("Llama", {"head_dim": 16, **APART}, {"paired": True}, {}),
    "llama with a window": (
        "Mistral",
        {"sliding_window": 8, **APART},
        {"paired": True},
        {"attention.sliding_window": 8},
    ),
    "llama of experts": (
        "Mixtral",
        {"num_local_experts": 4, "sliding_window": None, **APART},
        {"paired": True},
        {"expert_count": 4, "expert_used_count": 2},
    ),
    "nemotron": ("Nemotron", APART, {"plus_one": True}, {"rope.dimension_count": 4}),
    "olmo2": ("Olmo2", {"pad_token_id": None, **APART}, {}, {}),
    "phi2": (
        "Phi",
        {"num_key_value_heads": 4, "partial_rotary_factor": 0.5, **APART},
        {},
        {"rope.dimension_count": 4},
    ),
    "phi3": (
        "Phi3",
        {"pad_token_id": None, "sliding_window": 8, **APART},
        {},
        {"attention.sliding_window": 8},
    ),
    "phi3 that rotates in part": (
        "Phi3",
        {"pad_token_id": None, "partial_rotary_factor": 0.75, **APART},
        {},
        {"rope.dimension_count": 6},
    ),
    "qwen2": ("Qwen2", APART, {}, {}),
    "qwen2moe": (
        "Qwen2Moe",
        {**EXPERTS, "shared_expert_intermediate_size": 40, **APART},
        {},
        {**EXPERT_KEYS, "expert_shared_feed_forward_length": 40},
    ),
    "qwen3": ("Qwen3", APART, {}, {}),
    "qwen3moe": ("Qwen3Moe", {**EXPERTS, "norm_topk_prob": True, **APART}, {}, EXPERT_KEYS),
    "stablelm": (
        "StableLm",
        {"use_qkv_bias": True, "partial_rotary_factor": 0.5, **APART},
        {},
        {"rope.dimension_count": 4},
    ),
    "starcoder2": ("Starcoder2", {}, {}, {}),
}


@pytest.mark.parametrize("case", KINDS)
def test_every_architecture_computes_what_its_own_checkpoint_computes(tmp_path, case):
    kind, changes, how, keys = KINDS[case]
    architecture = case.split()[0]
    model = lively(tiny.model(kind, **{"initializer_range": 0.2, **changes}))
    header = files.shape_keys(model.config, architecture, **keys) | files.word_keys()
    path = files.write(tmp_path / "m.gguf", architecture, header, files.arrays(model, architecture, **how))
    assert difference(path, model) < 1e-5


def test_the_table_above_has_every_architecture_that_is_read():
    assert {case.split()[0] for case in KINDS} == set(ARCHITECTURES)


def test_heads_that_an_architecture_cannot_share_are_refused(tmp_path):
    model = tiny.model("GPTNeoX", rotary_pct=0.5, **APART)
    keys = {"rope.dimension_count": 4, "attention.head_count_kv": 2}
    header = files.shape_keys(model.config, "gptneox", **keys) | files.word_keys()
    path = files.write(tmp_path / "m.gguf", "gptneox", header, files.arrays(model, "gptneox", fused=4))
    with pytest.raises(InputError, match=r"gptneox\.attention\.head_count_kv is not attention\.head_count"):
        converted(path)


@pytest.mark.parametrize("name", ["mamba", "bert", "deepseek2", "nonsense"])
def test_an_architecture_that_is_not_read_is_named_with_those_that_are(tmp_path, name):
    header = {f"{name}.context_length": 8} | files.word_keys()
    with pytest.raises(InputError, match=f"architecture is '{name}'") as caught:
        converted(files.write(tmp_path / "m.gguf", name, header, {"a": np.ones((32, 32), np.float32)}))
    assert "qwen3" in caught.value.hint


def test_an_adapter_is_refused(tmp_path):
    path, _ = files.llama(tmp_path / "m.gguf", words={"general.type": "adapter"})
    with pytest.raises(InputError, match="holds a adapter, not a model"):
        converted(path)
