"""A converted GGUF file computes what the model that it was written from computes, or is refused by name."""

import math
from typing import Any

import gguf
import gguf_files as files
import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError
from specdec_cli.models.gguf.architectures import ARCHITECTURES
from specdec_cli.models.loader import load_model

TEXT = list(range(2, 60))
APART = {"tie_word_embeddings": False}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
EXPERT_KEYS = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24}
FALCON = {"head_dim": ..., "ffn_hidden_size": 48, "alibi": False, "bias": False, "parallel_attn": True}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def lively(model):
    """Norms and biases that are not all 1 and 0, so that a swapped or forgotten one shows."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


def converted(path, dtype="float32"):
    return load_model(str(path), dtype=dtype)


def difference(path, model):
    return (files.logits(converted(path).model, TEXT) - files.logits(model, TEXT)).abs().max().item()


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
    "phi3 that turns in part": (
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


def llama3_divisors(theta, dims, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    """As llama.cpp's converter writes them."""
    divisors = []
    for pair in range(dims // 2):
        wave = 2 * math.pi * theta ** (2 * pair / dims)
        ratio = original_max_position_embeddings / wave
        smooth = (ratio - low_freq_factor) / (high_freq_factor - low_freq_factor)
        if ratio > high_freq_factor:
            divisors.append(1.0)
        elif ratio < low_freq_factor:
            divisors.append(factor)
        else:
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, np.float32)


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("theta", "dims", "settings"),
    [
        (500000.0, 128, {**LLAMA3, "original_max_position_embeddings": 8192}),  # Llama 3.1
        (500000.0, 64, {**LLAMA3, "factor": 32.0, "original_max_position_embeddings": 8192}),  # Llama 3.2
        (10000.0, 16, {**LLAMA3, "original_max_position_embeddings": 16}),
        (10000.0, 64, {**LLAMA3, "high_freq_factor": 8.0, "original_max_position_embeddings": 512}),
    ],
)
def test_llama_3s_scaling_is_recovered_from_its_divisors(theta, dims, settings):
    from specdec_cli.models.gguf.rotary import from_divisors

    found = from_divisors(llama3_divisors(theta, dims, **settings).tolist(), theta, dims, 64)
    assert found == {"rope_type": "llama3", **settings}


LONG, SHORT = [1.0, 2.0, 3.0, 4.0], [1.0, 1.1, 1.2, 1.3]
TABLES = {
    "rope_factors_long.weight": np.array(LONG, np.float32),
    "rope_factors_short.weight": np.array(SHORT, np.float32),
}
FREE = {"rope_freqs.weight": np.array([1.0, 1.5, 7.0, 3.0], np.float32)}
SCALINGS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
    "llama3": (
        {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 16},
        {},
        {"rope_freqs.weight": llama3_divisors(10000.0, 8, **LLAMA3, original_max_position_embeddings=16)},
    ),
    "divisors of no formula": (
        {
            "rope_type": "longrope",
            "short_factor": [1.0, 1.5, 7.0, 3.0],
            "long_factor": [1.0, 1.5, 7.0, 3.0],
            "attention_factor": 1.0,
            "original_max_position_embeddings": 128,
        },
        {},
        FREE,
    ),
    "divisors and a factor": (
        {
            "rope_type": "longrope",
            "short_factor": [2.0, 3.0, 14.0, 6.0],
            "long_factor": [2.0, 3.0, 14.0, 6.0],
            "attention_factor": 1.0,
            "original_max_position_embeddings": 128,
        },
        {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0},
        FREE,
    ),
    "linear": (
        {"rope_type": "linear", "factor": 4.0},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
        {},
    ),
    "a factor of no type is linear": (
        {"rope_type": "linear", "factor": 4.0},
        {"rope.scaling.factor": 4.0},
        {},
    ),
    "none": ({"rope_type": "default"}, {"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, {}),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32},
        {},
    ),
    "yarn with bounds of its own": (
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 1.0,
            "beta_slow": 0.01,
        },
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 32,
            "rope.scaling.yarn_beta_fast": 1.0,
            "rope.scaling.yarn_beta_slow": 0.01,
        },
        {},
    ),
    "longrope beyond its context": (
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": 32,
            "attention_factor": 1.25,
        },
        {"rope.scaling.attn_factor": 1.25, "rope.scaling.original_context_length": 32},
        TABLES,
    ),
    "longrope within its context": (
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": 64,
            "attention_factor": 1.25,
        },
        {
            "rope.scaling.type": "longrope",
            "rope.scaling.attn_factor": 1.25,
            "rope.scaling.original_context_length": 64,
        },
        TABLES,
    ),
}


@pytest.mark.parametrize("case", SCALINGS)
def test_every_rotary_scaling_turns_as_the_checkpoints_does(tmp_path, case):
    rope, keys, tensors = SCALINGS[case]
    path, model = files.llama(
        tmp_path / "m.gguf", keys=keys, more=tensors, rope_parameters={"rope_theta": 10000.0, **rope}
    )
    plain = tiny.model(seed=0, tie_word_embeddings=False, initializer_range=0.2)
    scales = (files.logits(model, TEXT) - files.logits(plain, TEXT)).abs().max() > 1e-3
    assert scales or case == "none"
    assert difference(path, model) < 1e-4


def test_phi3_takes_its_long_factors(tmp_path):
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": SHORT,
        "long_factor": LONG,
        "attention_factor": 1.25,
        "original_max_position_embeddings": 32,
    }
    model = tiny.model(
        "Phi3",
        initializer_range=0.2,
        pad_token_id=None,
        original_max_position_embeddings=32,
        rope_parameters=rope,
        **APART,
    )
    keys = {"rope.scaling.attn_factor": 1.25, "rope.scaling.original_context_length": 32}
    header = files.shape_keys(model.config, "phi3", **keys) | files.word_keys()
    path = files.write(tmp_path / "m.gguf", "phi3", header, files.arrays(model, "phi3") | TABLES)
    assert difference(path, model) < 1e-4


REFUSED_KEYS = {
    "attention.scale": 0.5,
    "attention.causal": False,
    "attention.clamp_kqv": 8.0,
    "attention.max_alibi_bias": 8.0,
    "attention.value_length": 4,
    "attention.key_length": 0,
    "attention.head_count": [4, 2],
    "attention.head_count_kv": 3,
    "attention.sliding_window_pattern": 2,
    "attention.temperature_scale": 0.1,
    "block_count": "two",
    "context_length": 0,
    "embedding_length": -32,
    "embedding_scale": 12.0,
    "logit_scale": 0.5,
    "residual_scale": 0.5,
    "final_logit_softcapping": 30.0,
    "expert_weights_scale": 2.5,
    "nextn_predict_layers": 1,
    "rope.dimension_count": 4,
    "rope.dimension_sections": [2, 2, 0, 0],
    "rope.freq_base": 0.0,
    "rope.scale_linear": 4.0,
    "rope.scaling.type": "dynamic",
    "rope.scaling.factor": -2.0,
    "rope.scaling.attn_factor": 1.5,
    "vocab_size": 100,
    "what_comes_next": 1,
}


@pytest.mark.parametrize("key", REFUSED_KEYS)
def test_a_key_that_changes_the_model_is_refused_by_name(tmp_path, cache, key):
    path, _ = files.llama(tmp_path / "m.gguf", keys={key: REFUSED_KEYS[key]})
    with pytest.raises(InputError, match=f"llama.{key}") as caught:
        converted(path)
    assert "\n" not in caught.value.problem
    assert not (cache / "converted").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.scale", 8**-0.5),
        ("attention.causal", True),
        ("attention.sliding_window", 128),
        ("logit_scale", 1.0),
        ("expert_count", 0),
        ("rope.scaling.finetuned", True),
        ("attention.head_count", [4, 4]),
        ("vocab_size", len(tiny.WORDS)),
    ],
)
def test_a_key_with_the_usual_value_changes_nothing(tmp_path, key, value):
    path, model = files.llama(tmp_path / "m.gguf", keys={key: value})
    assert difference(path, model) < 1e-5


@pytest.mark.parametrize("key", ["context_length", "embedding_length", "block_count", "attention.head_count"])
def test_a_key_that_is_missing_is_named(tmp_path, key):
    path, _ = files.llama(tmp_path / "m.gguf", keys={key: None})
    with pytest.raises(InputError, match=f"llama.{key} is missing"):
        converted(path)


EXTRA = np.ones((32, 32), np.float32)
WRONG_TENSORS: dict[str, dict[str, Any]] = {
    "lacks the tensor blk.1.ffn_down.weight": {"without": ("blk.1.ffn_down.weight",)},
    "lacks the tensor output_norm.weight": {"without": ("output_norm.weight",)},
    "lacks the tensor token_embd.weight": {"without": ("token_embd.weight",)},
    "lacks the tensor blk.0.attn_q.weight": {"rename": {"blk.0.attn_q.weight": "blk.0.attn_query.weight"}},
    "its tensor blk.0.attn_gate.weight is none of": {"more": {"blk.0.attn_gate.weight": EXTRA}},
    "its tensor v.patch.weight is none of": {"more": {"v.patch.weight": EXTRA}},
    "block_count is 3, and it holds tensors of 2": {"keys": {"block_count": 3}},
    "block_count is 1, and it holds tensors of 2": {"keys": {"block_count": 1}},
    "block_count is 1000000, and": {"keys": {"block_count": 1000000}},
    "ffn_gate.weight has the sizes": {"keys": {"feed_forward_length": 2000000000}},
    "has the sizes \\[259, 32\\]": {"keys": {"embedding_length": 64}},
    "rope_freqs.weight has factors that are not": {"more": {"rope_freqs.weight": np.zeros(4, np.float32)}},
    "3 rotary factors for 4": {"more": {"rope_freqs.weight": np.ones(3, np.float32)}},
    "belong together, and one is missing": {
        "more": {"rope_factors_long.weight": TABLES["rope_factors_long.weight"]}
    },
    "values that are no numbers": {"more": {"blk.0.attn_norm.weight": np.full(32, np.nan, np.float32)}},
    "tokenizer has 259 tokens, and its embedding 200": {
        "more": {"token_embd.weight": np.ones((200, 32), np.float32)}
    },
}


@pytest.mark.parametrize("message", WRONG_TENSORS)
def test_every_tensor_is_used_and_every_weight_filled_or_the_file_is_refused(tmp_path, cache, message):
    path, _ = files.llama(tmp_path / "m.gguf", **WRONG_TENSORS[message])
    with pytest.raises(InputError, match=message) as caught:
        converted(path)
    assert "\n" not in caught.value.problem
    assert not (cache / "converted").exists()


def test_a_file_without_tensors_is_refused(tmp_path):
    model = tiny.model()
    header = files.shape_keys(model.config, "llama") | files.word_keys()
    with pytest.raises(InputError, match="holds no tensors"):
        converted(files.write(tmp_path / "m.gguf", "llama", header, {}))


@pytest.mark.parametrize("name", ["mamba", "bert", "deepseek2", "nonsense"])
def test_an_architecture_that_is_not_read_is_named_with_those_that_are(tmp_path, name):
    header = {f"{name}.context_length": 8} | files.word_keys()
    with pytest.raises(InputError, match=f"architecture is '{name}'") as caught:
        converted(files.write(tmp_path / "m.gguf", name, header, {"a": EXTRA}))
    assert "qwen3" in caught.value.hint


def test_an_adapter_is_refused(tmp_path):
    path, _ = files.llama(tmp_path / "m.gguf", words={"general.type": "adapter"})
    with pytest.raises(InputError, match="holds a adapter, not a model"):
        converted(path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "IQ4_NL"])
def test_quantised_weights_are_those_that_gguf_unpacks(tmp_path, kind):
    number = gguf.GGMLQuantizationType[kind]
    path, model = files.llama(tmp_path / "m.gguf")
    name, weight = "blk.1.ffn_up.weight", model.model.layers[1].mlp.up_proj.weight
    try:
        packed = gguf.quantize(weight.detach().numpy(), number)
    except NotImplementedError:
        packed = np.random.default_rng(0).integers(0, 50, (48, 18), np.uint8)
        packed[:, :2] = np.frombuffer(np.float16(0.1).tobytes(), np.uint8)
    files.llama(path, more={name: packed}, raw={name: number})
    loaded = converted(path).model.model.layers[1].mlp.up_proj.weight
    assert torch.equal(loaded, torch.from_numpy(np.array(gguf.dequantize(packed, number), np.float32)))


def test_a_type_that_cannot_be_unpacked_is_named(tmp_path):
    name = "blk.0.ffn_up.weight"
    whole = {name: np.ones((48, 32), np.int32)}
    path, _ = files.llama(tmp_path / "m.gguf", more=whole)
    with pytest.raises(InputError, match=f"{name} is of the type I32, which cannot be unpacked"):
        converted(path)
