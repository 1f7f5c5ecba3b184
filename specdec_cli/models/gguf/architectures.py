"""Which architectures of GGUF are read, and the transformers configuration that a file of each describes.

The formulas are llama.cpp's, since a converter writes down only what llama.cpp does not take for granted:
https://github.com/ggml-org/llama.cpp/tree/master/src/models. An architecture is here if a test compares
its logits, in float32, with those of the model that the file was written from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from specdec_cli.models.gguf.keys import Keys
from specdec_cli.models.gguf.rotary import RotaryTables, rotary_parameters

Extra = Callable[[Keys, dict[str, Any], Collection[str]], None]
RMS, LAYER = "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one `general.architecture` becomes a model of transformers.

    Attributes:
        model_type: of the configuration.
        norm: key of the norms' epsilon.
        epsilon: its name in the configuration.
        extra: reads what only this architecture has, given the keys, the configuration so far and the names
            of the file's tensors; may change `model_type` in it.
        paired: query and key rows are stored with the two halves of each rotary pair side by side.
        offset: norms are stored plus one.
        transposed: endings of weights whose two sides are swapped.
        fused: query, key and value are one product, its rows in an order of llama.cpp's own.
        partial: a part of each head's numbers may be rotated.
        rotary: positions are rotary.
    """

    model_type: str
    norm: str = RMS
    epsilon: str = "rms_norm_eps"
    extra: Extra | None = None
    paired: bool = False
    offset: bool = False
    transposed: tuple[str, ...] = ()
    fused: str = ""
    partial: bool = False
    rotary: bool = True


def configuration(
    architecture: Architecture, keys: Keys, names: Collection[str], tables: RotaryTables
) -> dict[str, Any]:
    """The arguments of `AutoConfig.for_model`, without the vocabulary.

    Args:
        architecture: of the file.
        keys: the file's keys of that architecture; what is read is ticked off.
        names: of the file's tensors.
        tables: rotary divisors among them.

    Raises:
        InputError: a key is missing, wrong, or changes the model in a way that is not known here.
    """
    hidden, heads = keys.size("embedding_length"), keys.size("attention.head_count")
    context = keys.size("context_length")
    if "attention.key_length" not in keys and hidden % heads:
        raise keys.refused(f"embedding_length {hidden} is no multiple of its {heads} heads")
    head_dim = keys.size("attention.key_length", hidden // heads or None)
    if keys.size("attention.value_length", head_dim) != head_dim:
        raise keys.refused("attention.value_length is not attention.key_length, and such models are not read")
    config: dict[str, Any] = {
        "model_type": architecture.model_type,
        "max_position_embeddings": context,
        "hidden_size": hidden,
        "num_hidden_layers": keys.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "tie_word_embeddings": "output.weight" not in names,
        architecture.epsilon: keys.number(architecture.norm),
    }
    if heads % config["num_key_value_heads"]:
        shared = config["num_key_value_heads"]
        raise keys.refused(f"attention.head_count_kv {shared} does not divide attention.head_count {heads}")
    if "expert_feed_forward_length" not in keys or "feed_forward_length" in keys:
        config["intermediate_size"] = keys.size("feed_forward_length")
    rotary = keys.size("rope.dimension_count", head_dim)
    if architecture.rotary:
        if rotary > head_dim or rotary % 2 or (rotary != head_dim and not architecture.partial):
            raise keys.refused(f"rope.dimension_count is {rotary} for heads of {head_dim}")
        config["rope_parameters"] = rotary_parameters(keys, head_dim, rotary, context, tables)
    if architecture.extra is not None:
        architecture.extra(keys, config, names)
    _require_usual_scale(keys, head_dim)
    keys.require_used()
    return config


def _require_usual_scale(keys: Keys, head_dim: int) -> None:
    """The scale of attention is 1/sqrt(head_dim) wherever an architecture's `extra` has not read another."""
    if keys.was_used("attention.scale"):
        return
    scale = keys.number("attention.scale", head_dim**-0.5)
    if not math.isclose(scale, head_dim**-0.5, rel_tol=1e-6):
        raise keys.refused(f"attention.scale = {scale} changes the model in a way not known here")


def _has(names: Collection[str], ending: str) -> bool:
    return any(name.endswith(ending) for name in names)


def _llama(keys: Keys, config: dict[str, Any], names: Collection[str]) -> None:
    window = keys.window(config["max_position_embeddings"])
    if keys.size("expert_count", 0, least=0):
        config["model_type"] = "mixtral"
        config["num_local_experts"] = keys.size("expert_count")
        config["num_experts_per_tok"] = keys.size("expert_used_count")
        config["sliding_window"] = window
    elif window is not None:
        config["model_type"] = "mistral"
        config["sliding_window"] = window
    else:
        config["attention_bias"] = _has(names, ".attn_q.bias") or _has(names, ".attn_output.bias")
        config["mlp_bias"] = _has(names, ".ffn_gate.bias")


def _qwen_experts(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    config["num_experts"] = keys.size("expert_count")
    config["num_experts_per_tok"] = keys.size("expert_used_count")
    config["moe_intermediate_size"] = keys.size("expert_feed_forward_length")
    config["norm_topk_prob"] = config["model_type"] == "qwen3_moe"  # each has it one way, said nowhere
    if config["model_type"] == "qwen2_moe":
        shared = keys.size("expert_shared_feed_forward_length")
        config["shared_expert_intermediate_size"] = shared
    config.setdefault("intermediate_size", config["moe_intermediate_size"])
    keys.use("expert_shared_count")


def _gemma2(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    config["attn_logit_softcapping"] = keys.number("attn_logit_softcapping", 50.0)
    config["final_logit_softcapping"] = keys.number("final_logit_softcapping", 30.0)
    config["sliding_window"] = keys.size("attention.sliding_window", 4096)
    _query_scale(config, layers_of_27b=46)


def _gemma3(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    """Every sixth layer sees all and rotates by the file's scaling; the others by a base of their own."""
    config["final_logit_softcapping"] = keys.number("final_logit_softcapping", 0.0, positive=False) or None
    config["sliding_window"] = keys.size("attention.sliding_window")
    config["layer_types"] = _layer_types(keys, config["num_hidden_layers"], every=6)
    local = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base_swa", 10000.0)}
    config["rope_parameters"] = {
        "full_attention": config["rope_parameters"],
        "sliding_attention": local,
    }
    _query_scale(config, layers_of_27b=62)


def _layer_types(keys: Keys, layers: int, every: int) -> list[str]:
    """Which layers see all: one in so many, or as a list of layers with a window says."""
    windowed = keys.flags("attention.sliding_window_pattern")
    if windowed is None:
        every = keys.size("attention.sliding_window_pattern", every)
        windowed = [layer % every != every - 1 for layer in range(layers)]
    if len(windowed) != layers:
        raise keys.refused(f"attention.sliding_window_pattern has {len(windowed)} layers, not {layers}")
    return ["sliding_attention" if each else "full_attention" for each in windowed]


def _query_scale(config: dict[str, Any], layers_of_27b: int) -> None:
    """The 27B models alone scale as if heads had the model's hidden size divided by their number."""
    large = config["num_hidden_layers"] == layers_of_27b
    shared = config["hidden_size"] // config["num_attention_heads"]
    config["query_pre_attn_scalar"] = shared if large else config["head_dim"]


def _phi3(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    config["sliding_window"] = keys.window(config["max_position_embeddings"])
    rope = config["rope_parameters"]
    config["original_max_position_embeddings"] = rope.get(
        "original_max_position_embeddings", config["max_position_embeddings"]
    )


def _require_own_heads(keys: Keys, config: dict[str, Any]) -> None:
    if config["num_key_value_heads"] != config["num_attention_heads"]:
        raise keys.refused("attention.head_count_kv is not attention.head_count")


def _gpt2(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    _require_own_heads(keys, config)
    config["n_positions"] = config.pop("max_position_embeddings")
    config["n_embd"] = config.pop("hidden_size")
    config["n_layer"] = config.pop("num_hidden_layers")
    config["n_head"] = config.pop("num_attention_heads")
    config["n_inner"] = config.pop("intermediate_size")


def _bloom(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    _require_own_heads(keys, config)
    config["n_layer"] = config.pop("num_hidden_layers")
    config["n_head"] = config.pop("num_attention_heads")
    if config.pop("intermediate_size") != 4 * config["hidden_size"]:
        raise keys.refused("feed_forward_length is not four times embedding_length")
    if keys.number("attention.max_alibi_bias", 8.0) != 8.0:
        raise keys.refused("attention.max_alibi_bias is not 8")


def _falcon(keys: Keys, config: dict[str, Any], names: Collection[str]) -> None:
    shared = config.pop("num_key_value_heads")
    if config.pop("head_dim") * config["num_attention_heads"] != config["hidden_size"]:
        raise keys.refused("attention.key_length is not the model's width by its heads")
    config["num_kv_heads"] = shared
    config["new_decoder_architecture"] = _has(names, ".attn_norm_2.weight")
    config["multi_query"] = shared == 1
    config["ffn_hidden_size"] = config.pop("intermediate_size")
    config |= {"bias": False, "parallel_attn": True, "alibi": False}


def _gptneox(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    _require_own_heads(keys, config)
    config["use_parallel_residual"] = keys.flag("use_parallel_residual", True)


def _stablelm(keys: Keys, config: dict[str, Any], names: Collection[str]) -> None:
    config["use_qkv_bias"] = _has(names, ".attn_q.bias")
    config["use_parallel_residual"] = not _has(names, ".ffn_norm.weight")
    keys.use("use_parallel_residual")


def _starcoder2(keys: Keys, config: dict[str, Any], names: Collection[str]) -> None:
    config["use_bias"] = _has(names, ".attn_q.bias")
    config["sliding_window"] = keys.window(config["max_position_embeddings"])


def _granite(keys: Keys, config: dict[str, Any], names: Collection[str]) -> None:
    config["embedding_multiplier"] = keys.number("embedding_scale", 1.0)
    config["residual_multiplier"] = keys.number("residual_scale", 1.0)
    config["logits_scaling"] = keys.number("logit_scale", 1.0)
    config["attention_multiplier"] = keys.number("attention.scale", config["head_dim"] ** -0.5)


def _cohere(keys: Keys, config: dict[str, Any], _: Collection[str]) -> None:
    config["logit_scale"] = keys.number("logit_scale")
    config["use_qk_norm"] = False


ARCHITECTURES = {
    "bloom": Architecture("bloom", LAYER, "layer_norm_epsilon", _bloom, fused="heads", rotary=False),
    "command-r": Architecture("cohere", LAYER, "layer_norm_eps", _cohere),
    "falcon": Architecture("falcon", LAYER, "layer_norm_epsilon", _falcon, fused="groups"),
    "gemma": Architecture("gemma", offset=True),
    "gemma2": Architecture("gemma2", extra=_gemma2, offset=True),
    "gemma3": Architecture("gemma3_text", extra=_gemma3, offset=True),
    "gpt2": Architecture(
        "gpt2",
        LAYER,
        "layer_norm_epsilon",
        _gpt2,
        transposed=("c_attn.weight", "c_proj.weight", "c_fc.weight"),
        rotary=False,
    ),
    "gptneox": Architecture("gpt_neox", LAYER, "layer_norm_eps", _gptneox, fused="heads", partial=True),
    "granite": Architecture("granite", extra=_granite, paired=True),
    "llama": Architecture("llama", extra=_llama, paired=True),
    "nemotron": Architecture("nemotron", LAYER, "norm_eps", offset=True, partial=True),
    "olmo2": Architecture("olmo2"),
    "phi2": Architecture("phi", LAYER, "layer_norm_eps", partial=True),
    "phi3": Architecture("phi3", extra=_phi3, partial=True),
    "qwen2": Architecture("qwen2"),
    "qwen2moe": Architecture("qwen2_moe", extra=_qwen_experts),
    "qwen3": Architecture("qwen3"),
    "qwen3moe": Architecture("qwen3_moe", extra=_qwen_experts),
    "stablelm": Architecture("stablelm", LAYER, "layer_norm_eps", _stablelm, partial=True),
    "starcoder2": Architecture("starcoder2", LAYER, "norm_epsilon", _starcoder2),
}
