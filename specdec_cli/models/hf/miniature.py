"""A small model of the same architecture: what decides its attention stays, what decides its size does not.

Windows, chunks and the lengths at which rotary positions change become shorter than a few dozen tokens, so a
trial of that many meets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

LAYERS = 4
WINDOW = 8
CONTEXT = 256
SWITCH = 24  # tokens past which rotary positions are rotated otherwise
VOCABULARY = 64
LEFT_OUT = ("per_layer_config", "transformers_version", "architectures", "dtype", "torch_dtype", "auto_map",
            "quantization_config", "id2label", "label2id", "model_type")  # fmt: skip
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
WINDOWS = """
    sliding_window sliding_window_size window_size attention_chunk_size local_attention
    attention_window_size keep_window_size index_topk
"""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k")
_EXPERT_INNER = """
    moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size
    shared_intermediate_size shared_experts_intermediate_size moe_shared_expert_intermediate_size
"""
SMALL: dict[str, Any] = {
    **dict.fromkeys(_WIDTH.split(), 64),
    **dict.fromkeys(_INNER.split(), 96),
    **dict.fromkeys(_DEPTH.split(), LAYERS),
    **dict.fromkeys(_HEADS.split(), 4),
    **dict.fromkeys(_KEY_HEADS.split(), 2),
    **dict.fromkeys(_HEAD_SIZE.split(), 16),
    **dict.fromkeys(_POSITIONS.split(), CONTEXT),
    **dict.fromkeys(WINDOWS.split(), WINDOW),
    **dict.fromkeys(_EXPERTS, 4),
    **dict.fromkeys(_CHOSEN, 2),
    **dict.fromkeys(_EXPERT_INNER.split(), 32),
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
    "original_max_position_embeddings": SWITCH,
    "hidden_size_per_layer_input": 8,
    "laurel_rank": 4,
    "num_kv_shared_layers": 0,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}


def miniature(model: Any) -> Any:
    """A small random model of the same architecture, on the CPU in float32.

    Raises:
        Exception: whatever the architecture says of such a configuration.
    """
    from transformers import AutoModelForCausalLM

    config = model.config.get_text_config(decoder=True)
    whole = {name: value for name, value in config.to_dict().items() if name not in LEFT_OUT}
    sizes = {**SMALL, "vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY}
    whole |= small_fields(whole, sizes_for(whole, sizes))
    if isinstance(whole.get("rope_parameters"), dict):
        heads = whole.get("num_attention_heads") or 1
        size = whole.get("head_dim") or whole.get("hidden_size", heads) // heads
        whole["rope_parameters"] = _small_rope(whole["rope_parameters"], size)
    small, auto = type(config)(**whole), cast(Any, AutoModelForCausalLM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = type(model)(small) if config is model.config else auto.from_config(small)
    return made.to(device="cpu", dtype=torch.float32).eval()


def sizes_for(defaults: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The values for a configuration of these fields."""
    if "qk_rope_head_dim" not in defaults:
        return dict(sizes)
    # Latent attention: the rotary part alone has the head's size, and every head has keys.
    return {**sizes, "head_dim": sizes["qk_rope_head_dim"], "num_key_value_heads": 4}


def small_fields(
    defaults: Mapping[str, Any], sizes: Mapping[str, Any], unset: Sequence[str] = ()
) -> dict[str, Any]:
    """Those of a configuration's fields that are to be smaller, with the values that they get.

    Args:
        defaults: all fields.
        sizes: the values, as in `SMALL`.
        unset: fields that are given one even where they have none.
    """
    depth = next((defaults[name] for name in _DEPTH.split() if isinstance(defaults.get(name), int)), None)
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        if name.endswith("config") and isinstance(value, dict) and name != "per_layer_config":
            kept = {"model_type": value["model_type"]} if value.get("model_type") else {}
            fields[name] = kept | small_fields(value, sizes, unset)
        elif name in sizes and sizes[name] is not None and (value is not None or name in unset):
            fields[name] = sizes[name]
        elif isinstance(value, list) and value and len(value) == depth:
            fields[name] = _first_of_each(value)
    return fields


def _first_of_each(values: list[Any]) -> list[Any]:
    """As many as there are layers, with all kinds among them where they have the room."""
    if len(set(map(str, values))) <= len(set(map(str, values[:LAYERS]))):
        return (values * LAYERS)[:LAYERS]
    kinds = list({str(value): value for value in values}.values())
    return (kinds * LAYERS)[:LAYERS]


def _small_rope(rope: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Rotary parameters for heads of a smaller size and shorter texts; they may differ by kind of layer."""
    found: dict[str, Any] = {}
    for name, value in rope.items():
        if isinstance(value, dict):
            found[name] = _small_rope(value, size)
        elif name in ("short_factor", "long_factor"):
            found[name] = value[: int(size * rope.get("partial_rotary_factor", 1.0)) // 2]
        elif name == "mrope_section":
            found[name] = [size // 4, size // 8, size // 8]
        else:
            found[name] = SWITCH if name == "original_max_position_embeddings" else value
    return found
