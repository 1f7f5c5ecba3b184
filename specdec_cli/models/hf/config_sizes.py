"""The sizes in a config.json, refused before anything is built of them if no model can have them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from specdec_cli.models.hf.small_files import damaged, read_model_json

CONFIG = "config.json"
KNOWN = "A newer transformers may know it; otherwise copy the model again, or choose another."
# What each may be at least and at most; where a model has one for each layer, that is so of each.
LIMITS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers"), (1, 2048)),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), (1, 1 << 17)),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), (1, 4096)),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size"), (0, 1 << 21)),
    "num_key_value_heads": (1, 4096),
    "head_dim": (1, 1 << 14),
    "vocab_size": (1, 1 << 24),
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok"), (0, 8192)
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), (0, 1 << 31)),
    **dict.fromkeys(("sliding_window", "original_max_position_embeddings"), (-1, 1 << 31)),
}
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HIDDEN = ("hidden_size", "n_embd", "d_model")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
IDS = ("eos_token_id", "bos_token_id", "pad_token_id")
HIGHEST_ID = 1 << 31
PACKED = 16  # numbers of 2 bits in one that is stored


def read_sizes(folder: Path) -> dict[str, Any]:
    """The content of a model's config.json, if its sizes are those of a model.

    Raises:
        InputError: the file cannot be read, or one of its numbers is out of the question.
    """
    path = folder / CONFIG
    config = read_model_json(path, dict[str, Any], KNOWN, said="cannot be used")
    for part in _parts(config):
        for name, limits in LIMITS.items():
            _require_size(path, name, part.get(name), limits)
        for name in IDS:
            _require_ids(path, name, part.get(name))
        _require_division(path, part)
        for name in ("rope_parameters", "rope_scaling", "rope_theta", "rms_norm_eps", "layer_norm_eps"):
            _require_finite(path, name, part.get(name))
    return config


def require_room_for_sizes(
    folder: Path, config: Mapping[str, Any], numbers: int, tensors: int | None = None
) -> None:
    """Check that sizes are not larger than all that is stored, so that nothing huge is built to find out.

    Args:
        folder: of the model.
        config: the content of its config.json.
        numbers: that its files hold, at most.
        tensors: that they hold; None where that is not known.

    Raises:
        InputError: they are.
    """
    path = folder / CONFIG
    for part in _parts(config):
        layers, hidden = _largest(part, LAYERS), _largest(part, HIDDEN)
        heads, inner = _largest(part, HEADS), _largest(part, ("intermediate_size", "n_inner", "ffn_dim"))
        if tensors is not None and layers > tensors:
            raise damaged(path, f"it asks for {layers:,} layers, and {tensors:,} tensors are stored")
        size = _largest(part, ("head_dim",)) or hidden // max(heads, 1)
        for other in (heads * size, inner, _largest(part, ("vocab_size",))):
            if hidden * other > PACKED * numbers:
                raise damaged(
                    path, f"it asks for a matrix {hidden:,} x {other:,}, more than all that is stored"
                )


def _parts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The configuration and that of its text model, if that is another."""
    yield config
    if isinstance(text := config.get("text_config"), dict):
        yield text


def _each(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _largest(part: Mapping[str, Any], names: Iterable[str]) -> int:
    return max((each for name in names for each in _each(part.get(name)) if isinstance(each, int)), default=0)


def _require_size(path: Path, name: str, value: object, limits: tuple[int, int]) -> None:
    low, high = limits
    for each in _each(value):
        if type(each) is not int or not low <= each <= high:
            raise damaged(path, f"{name} is {_shown(each)}, no whole number from {low:,} to {high:,}")


def _require_ids(path: Path, name: str, value: object) -> None:
    for each in _each(value):
        if type(each) is not int or not -1 <= each < HIGHEST_ID:
            raise damaged(path, f"{name} is {_shown(each)}, no id of a token")


def _require_division(path: Path, part: Mapping[str, Any]) -> None:
    """Check that key heads share out the heads, and heads the hidden size if they state none."""
    hidden, heads = (
        next((part[n] for n in names if isinstance(part.get(n), int)), 0) for names in (HIDDEN, HEADS)
    )
    keys = part.get("num_key_value_heads")
    if isinstance(keys, int) and heads and heads % keys:
        raise damaged(path, f"{heads} heads cannot share {keys} heads of keys")
    own = any("head" in name and ("dim" in name or "size" in name) for name in part) or "kv_channels" in part
    if heads and hidden % heads and not own:
        raise damaged(path, f"a hidden size of {hidden} does not divide into {heads} heads")


def _require_finite(path: Path, name: str, value: object) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _require_finite(path, f"{name}.{key}", each)
    for each in _each(value):
        if isinstance(each, int | float) and not _is_finite(each):
            raise damaged(path, f"{name} is {_shown(each)}, no number to compute with")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
