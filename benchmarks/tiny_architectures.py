"""A tiny configuration of every causal architecture that transformers knows, made from its default one.

Whatever decides a model's size is made small, whatever decides its attention's reach (windows, chunks)
shorter than the texts that the trials write. What is left at its default makes the architecture itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

LAYERS = 4
FULL = "full_attention"
WINDOW = 8
CONTEXT = 256
SWITCH = 24  # tokens at which rotary positions change, in the trials of that
MOST_PARAMETERS = 20_000_000
_WIDTH = """
    hidden_size d_model n_embd dim emb_dim embedding_dim input_embedding_size output_embedding_size
    embedding_size word_embed_proj_dim lru_width attention_hidden_size
"""
_INNER = """
    intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim d_inner dff dim_ff ffn_hidden_size
    intermediate_size_mlp dense_intermediate_size feed_forward_size mlp_dim n_inner
"""
_DEPTH = """
    num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers
    num_encoder_layers depth
"""
_HEADS = """
    num_attention_heads n_head n_heads num_heads decoder_attention_heads attention_heads
    encoder_attention_heads num_decoder_attention_heads num_encoder_attention_heads
    swa_num_attention_heads
"""
_KEY_HEADS = """
    num_key_value_heads num_kv_heads kv_n_heads swa_num_key_value_heads num_query_groups
"""
_HEAD_SIZE = """
    head_dim swa_head_dim kv_channels v_head_dim qk_nope_head_dim index_head_dim dim_head
    attention_head_dim query_pre_attn_scalar global_head_dim
"""
_POSITIONS = """
    max_position_embeddings n_positions n_ctx max_seq_len max_target_positions context_length
    model_max_length log_scaling_n_floor
"""
_WINDOWS = """
    sliding_window sliding_window_size window_size attention_chunk_size local_attention
    attention_window_size keep_window_size index_topk
"""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k")
_EXPERT_INNER = """
    moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size
    shared_intermediate_size shared_experts_intermediate_size moe_shared_expert_intermediate_size
"""
_SMALL: dict[str, Any] = {
    **dict.fromkeys(_WIDTH.split(), 64),
    **dict.fromkeys(_INNER.split(), 96),
    **dict.fromkeys(_DEPTH.split(), LAYERS),
    **dict.fromkeys(_HEADS.split(), 4),
    **dict.fromkeys(_KEY_HEADS.split(), 2),
    **dict.fromkeys(_HEAD_SIZE.split(), 16),
    **dict.fromkeys(_POSITIONS.split(), CONTEXT),
    **dict.fromkeys(_WINDOWS.split(), WINDOW),
    **dict.fromkeys(_EXPERTS, 4),
    **dict.fromkeys(_CHOSEN, 2),
    **dict.fromkeys(_EXPERT_INNER.split(), 32),
    "use_sliding_window": True,
    "max_window_layers": 2,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "n_group": 1,
    "topk_group": 1,
    "num_expert_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 24,
    "index_n_heads": 4,
    "rotary_dim": 8,
    "vocab_size_per_layer_input": 259,
    "hidden_size_per_layer_input": 8,
    "laurel_rank": 4,
    "num_kv_shared_layers": 0,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "is_decoder": True,
}
_PAST_END = ("sliding_window", "use_sliding_window")  # set though the default is none
_FIRST = ("hidden_size_per_layer_input",)  # without these the default configuration itself is refused
_UNLIKE: dict[str, dict[str, Any]] = {
    "bamba": {
        "layer_types": ["mamba", "full_attention"] * 2,
        "attn_layer_indices": [1, 3],
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
    },
    "blt": {},
    "dots1": {"sliding_window": None},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "moe_topk": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "use_mamba_kernels": False},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "mamba_n_heads": 8, "mamba_d_head": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16},
    "qwen4_exp_text": {},
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
    sizes = {**_SMALL, "vocab_size": vocabulary, "vocab_size_per_layer_input": vocabulary}
    own = {**_UNLIKE.get(name, {}), **(changes or {})}
    sizes |= own
    defaults = kind(**{field: value for field, value in own.items() if field in _FIRST}).to_dict()
    if "qk_rope_head_dim" in defaults:  # latent attention: the rotary part alone has the head's size
        sizes = {**sizes, "head_dim": sizes["qk_rope_head_dim"], "num_key_value_heads": 4, **own}
    fields = _fields(defaults, sizes)
    fields |= {field: value for field, value in own.items() if value is not None and "." not in field}
    return kind(**fields)


def _fields(defaults: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the default fields that are to be smaller, with the values that they get."""
    depth = next((defaults[name] for name in _DEPTH.split() if isinstance(defaults.get(name), int)), None)
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        if name.endswith("config") and isinstance(value, dict) and name != "per_layer_config":
            kept = {"model_type": value["model_type"]} if value.get("model_type") else {}
            fields[name] = kept | _fields(value, sizes)
        elif name in sizes and sizes[name] is not None and (value is not None or name in _PAST_END):
            fields[name] = sizes[name]
        elif isinstance(value, list) and value and len(value) == depth:
            fields[name] = _first_of_each(value)
    return fields


def _first_of_each(values: list[Any]) -> list[Any]:
    """As many as there are layers, with all kinds among them where they have the room."""
    if len(set(map(str, values))) <= len(set(map(str, values[:LAYERS]))):
        return values[:LAYERS]
    kinds = list({str(value): value for value in values}.values())
    return (kinds * LAYERS)[:LAYERS]


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


def _scaled(config: Any, rope: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One kind of layer's rotary parameters, scaled."""
    kept = {name: rope[name] for name in ("rope_theta", "partial_rotary_factor") if name in rope}
    if kind == "dynamic":
        return {"rope_type": "dynamic", "factor": 4.0, **kept}
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    count = int(size * rope.get("partial_rotary_factor", 1.0)) // 2
    lists = {"short_factor": [1.0] * count, "long_factor": [1.0 + place for place in range(count)]}
    scales = {"short_mscale": 1.0, "long_mscale": 1.2} if config.model_type == "phimoe" else {}
    switch = {"original_max_position_embeddings": SWITCH, "factor": CONTEXT / SWITCH}
    return {"rope_type": "longrope", **lists, **switch, **kept, **scales}
