"""A tiny configuration of every causal architecture that transformers knows, made from its default one.

Whatever decides a model's size is made small, whatever decides its attention's reach (windows, chunks)
shorter than the texts that the trials write. What is left at its default makes the architecture itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers.integrations.heterogeneity.configuration_utils import AmbiguousGlobalPerLayerAttributeError

from specdec_cli.models.hf.miniature import CONTEXT, SMALL, SWITCH, sizes_for, small_fields

FULL = "full_attention"
UNSET = ("sliding_window", "use_sliding_window")  # set though the default is none
MOST_PARAMETERS = 20_000_000
_FIRST = ("hidden_size_per_layer_input",)  # without these the default configuration itself is refused
_UNLIKE: dict[str, dict[str, Any]] = {
    "bamba": {
        "attn_layer_indices": [1, 3],
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
    },
    "cohere_compass_text": {"rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 1e4}}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "moe_topk": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "use_mamba_kernels": False},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "mamba_n_heads": 8, "mamba_d_head": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "phi4_multimodal": {"original_max_position_embeddings": 4096},  # see NO_REFERENCE in the trials
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
    },
    "xmod": {"default_language": "en_XX"},
    "reformer": {"axial_pos_embds_dim": [16, 48], "axial_pos_shape": [16, 16]},
    "zaya": {"num_experts_per_tok": 1},
}
"""What an architecture needs beside the table, or instead of it; None takes a field out of it."""


def causal_architectures() -> list[str]:
    """Names of all model types for which transformers has a causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_config(name: str, vocabulary: int, changes: Mapping[str, Any] | None = None) -> Any:
    """A configuration of the architecture for `vocabulary` tokens; `changes` come last.

    Raises:
        Exception: whatever the architecture's configuration says of these values.
    """
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[name]
    always = {"use_sliding_window": True, "is_decoder": True}
    sizes = {**SMALL, **always, "vocab_size": vocabulary, "vocab_size_per_layer_input": vocabulary}
    own = {**_UNLIKE.get(name, {}), **(changes or {})}
    sizes |= own
    defaults = kind(**{field: value for field, value in own.items() if field in _FIRST}).to_dict()
    fields = small_fields(defaults, {**sizes_for(defaults, sizes), **own}, UNSET)
    fields |= {field: value for field, value in own.items() if value is not None and "." not in field}
    return kind(**fields)


def tiny_model(config: Any, seed: int = 0) -> Any:
    """A random model of the configuration in float32, ready to be saved.

    Raises:
        ValueError: it would not be tiny.
        Exception: whatever the architecture's code says of the configuration.
    """
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        count = sum(each.numel() for each in AutoModelForCausalLM.from_config(config).parameters())
    if count > MOST_PARAMETERS:
        raise ValueError(f"{count / 1e6:.0f} million parameters are not tiny")
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)


def distinct(tokens: Iterable[int]) -> int:
    """How many tokens a text has, each counted once: a model that says one word only proves little."""
    return len(set(tokens))


def rope_changes(config: Any, kind: str) -> dict[str, Any] | None:
    """Fields that give the configuration a rotary scaling that depends on length; None where it has no room.

    Args:
        config: of `tiny_config`.
        kind: "longrope" or "dynamic".
    """
    rope = getattr(config, "rope_parameters", None)
    if not isinstance(rope, dict):
        return None
    nested = isinstance(rope.get(FULL), dict)
    if not nested and "rope_type" not in rope:
        return None
    scaled = _scaled(config, rope[FULL] if nested else rope, kind)
    changes: dict[str, Any] = {"rope_parameters": {**rope, FULL: scaled} if nested else scaled}
    if kind == "dynamic":
        changes["max_position_embeddings"] = SWITCH
    elif hasattr(config, "original_max_position_embeddings"):
        changes["original_max_position_embeddings"] = SWITCH
    return changes


def _head_size(config: Any) -> int:
    """Numbers of a head, of a layer that sees all of the text where layers differ."""
    try:
        size = getattr(config, "head_dim", None)
    except AmbiguousGlobalPerLayerAttributeError:
        size = config.per_layer_config[list(config.layer_types).index(FULL)].head_dim
    return int(size or config.hidden_size // config.num_attention_heads)


def _scaled(config: Any, rope: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One kind of layer's rotary parameters, scaled."""
    kept = {name: rope[name] for name in ("rope_theta", "partial_rotary_factor") if name in rope}
    if kind == "dynamic":
        return {"rope_type": "dynamic", "factor": 4.0, **kept}
    count = int(_head_size(config) * rope.get("partial_rotary_factor", 1.0)) // 2
    lists = {"short_factor": [1.0] * count, "long_factor": [1.0 + index for index in range(count)]}
    scales = {"short_mscale": 1.0, "long_mscale": 1.2} if config.model_type == "phimoe" else {}
    switch = {"original_max_position_embeddings": SWITCH, "factor": CONTEXT / SWITCH}
    return {"rope_type": "longrope", **lists, **switch, **kept, **scales}
