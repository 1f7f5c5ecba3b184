"""Lengths past which a model attends otherwise: what a text must be longer than to have tried that."""

from __future__ import annotations

from typing import Any

from specdec_cli.models.forward.hf import sliding_window
from specdec_cli.models.forward.rotary import DYNAMIC, LONG
from specdec_cli.models.hf.miniature import WINDOWS


def thresholds(config: Any) -> dict[str, int]:
    """Those of a model of this configuration, in tokens, by what begins there."""
    text = config.get_text_config(decoder=True)
    named = [getattr(text, name, None) for name in WINDOWS.split() if name != "sliding_window"]
    windows = [size for size in (sliding_window(text), *named) if isinstance(size, int) and size > 0]
    found = {"windowed attention": min(windows)} if windows else {}
    rope = getattr(text, "rope_parameters", None) or {}
    kinds = [each for each in (rope, *rope.values()) if isinstance(each, dict) and "rope_type" in each]
    switches = [each.get("original_max_position_embeddings") for each in kinds if each["rope_type"] == LONG]
    switches += [text.max_position_embeddings for each in kinds if each["rope_type"] == DYNAMIC]
    known = [length for length in switches if length]
    return found | ({"another rotary scaling": min(known)} if known else {})
