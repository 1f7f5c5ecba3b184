"""Rotary embeddings as a GGUF file states them: a scaling by its keys, or divisors of frequencies by tensors.

llama.cpp divides frequency i by `rope_freqs.weight[i]` (how converters keep Llama 3's scaling), or by
`rope_factors_short` up to the original context and `rope_factors_long` beyond it (LongRoPE,
https://arxiv.org/abs/2402.13753; YaRN: https://arxiv.org/abs/2309.00071).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from specdec_cli.models.gguf.header import unreadable
from specdec_cli.models.gguf.keys import Keys

FREQUENCIES, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
TABLES = (FREQUENCIES, LONG, SHORT)
CLOSE = 1e-6  # of float32 numbers that were computed in another order
SCALE = "rope.scaling."


@dataclass(frozen=True, slots=True)
class RotaryTables:
    """Divisors of the rotary frequencies, one for each pair of dimensions; None where the file has none."""

    frequencies: Sequence[float] | None = None
    long: Sequence[float] | None = None
    short: Sequence[float] | None = None


def rotary_parameters(
    keys: Keys, head_dim: int, rotary: int, context: int, tables: RotaryTables
) -> dict[str, Any]:
    """The `rope_parameters` of a transformers configuration.

    Args:
        keys: of the file.
        head_dim: numbers in a head.
        rotary: how many of them are rotated.
        context: positions that the file states.
        tables: divisors that the file holds as tensors.

    Raises:
        InputError: a scaling that is not known, or that contradicts the tensors.
    """
    for table in (tables.frequencies, tables.long, tables.short):
        if table is not None and len(table) != rotary // 2:
            why = f"it has {len(table)} rotary factors for {rotary // 2} pairs of dimensions"
            raise unreadable(keys.path, why)
    theta = keys.number("rope.freq_base", 10000.0)
    found = {"rope_theta": theta, **_scaling(keys, theta, rotary, context, tables)}
    if rotary != head_dim:
        share = rotary / head_dim
        found["partial_rotary_factor"] = (
            share if int(head_dim * share) == rotary else math.nextafter(share, 2)
        )
    return found


def _scaling(keys: Keys, theta: float, rotary: int, context: int, tables: RotaryTables) -> dict[str, Any]:
    kind = keys.text(SCALE + "type", "linear")  # llama.cpp's default; a factor of 1 changes nothing
    factor = keys.number(SCALE + "factor", 0.0, positive=False) or 1.0
    original = keys.size(SCALE + "original_context_length", context)
    attention = keys.number(SCALE + "attn_factor", 1.0)
    if factor <= 0:
        raise keys.refused(f"{SCALE}factor is {factor}")
    if kind == "none":
        kind, factor = "linear", 1.0
    if kind == "yarn" and tables == RotaryTables():
        return _yarn(keys, factor, original, attention)
    has_both = tables.long is not None and tables.short is not None
    if kind not in ("linear", "longrope") or (kind == "longrope" and not has_both):
        raise keys.refused(f"{SCALE}type is {kind!r}, which cannot be read with this file's tensors")
    if tables.frequencies is not None:
        keys.use(SCALE + "original_context_length")
        if attention != 1.0:
            raise keys.refused(f"{SCALE}attn_factor = {attention} beside rope_freqs.weight is not known here")
        return from_divisors([factor * each for each in tables.frequencies], theta, rotary, context)
    if has_both:
        return _longrope(keys, tables, factor, original)
    if tables != RotaryTables():
        raise keys.refused("rope_factors_long and rope_factors_short belong together, and one is missing")
    if attention != 1.0:
        raise keys.refused(f"{SCALE}attn_factor = {attention} without a scaling that has one is not known")
    return {"rope_type": "default"} if factor == 1.0 else {"rope_type": "linear", "factor": factor}


def _yarn(keys: Keys, factor: float, original: int, attention: float) -> dict[str, Any]:
    for name, neutral in (
        ("yarn_log_multiplier", (0.0,)),
        ("yarn_ext_factor", (1.0, -1.0)),
        ("yarn_attn_factor", (1.0, -1.0)),
    ):
        value = keys.number(SCALE + name, neutral[0], positive=False)
        if value not in neutral:
            raise keys.refused(f"{SCALE}{name} = {value} is not known here")
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": attention * (0.1 * math.log(max(factor, 1.0)) + 1.0),
        "beta_fast": keys.number(SCALE + "yarn_beta_fast", 32.0),
        "beta_slow": keys.number(SCALE + "yarn_beta_slow", 1.0),
    }


def _longrope(keys: Keys, tables: RotaryTables, factor: float, original: int) -> dict[str, Any]:
    assert tables.long is not None
    assert tables.short is not None
    if factor != 1.0:
        raise keys.refused(f"{SCALE}factor = {factor} beside rope_factors tensors is not known here")
    found: dict[str, Any] = {
        "rope_type": "longrope",
        "long_factor": list(tables.long),
        "short_factor": list(tables.short),
        "original_max_position_embeddings": original,
    }
    if SCALE + "attn_factor" in keys:  # else transformers derives it from both contexts, as the paper does
        found["attention_factor"] = keys.number(SCALE + "attn_factor")
    return found


def from_divisors(divisors: Sequence[float], theta: float, rotary: int, context: int) -> dict[str, Any]:
    """The scaling whose frequencies are theta^(-2i/rotary) / divisors[i], to the precision of float32.

    Llama 3's where its parameters can be recovered, so that the model is what its own checkpoint says;
    else LongRoPE with these divisors on both sides of a switch that never comes.
    """
    if all(each == 1.0 for each in divisors):
        return {"rope_type": "default"}
    recovered = _llama3(divisors, theta, rotary)
    if recovered is not None:
        return recovered
    return {
        "rope_type": "longrope",
        "long_factor": list(divisors),
        "short_factor": list(divisors),
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": context,
    }


def _llama3(divisors: Sequence[float], theta: float, rotary: int) -> dict[str, Any] | None:
    """Llama 3's parameters if they give these divisors.

    Between both of its wavelengths 1/divisor = (1 - s)/factor + s with s = (original/wavelength - low) /
    (high - low), which two points decide up to the scale of low: it is 1 in every published model.
    """
    factor = max(divisors)
    if factor <= 1.0 + CLOSE or min(divisors) < 1.0 - CLOSE:
        return None
    waves = [2 * math.pi * theta ** (2 * pair / rotary) for pair in range(rotary // 2)]
    smooth = [
        ((1 / divisor - 1 / factor) / (1 - 1 / factor), wave)
        for divisor, wave in zip(divisors, waves, strict=True)
        if 1.0 + CLOSE < divisor < factor * (1 - CLOSE)
    ]
    for high, original in _candidates(smooth):
        found = {
            "rope_type": "llama3",
            "factor": _rounded(factor),
            "low_freq_factor": 1.0,
            "high_freq_factor": _rounded(high),
            "original_max_position_embeddings": round(original),
        }
        if high > 1.0 and round(original) > 0 and _gives(found, divisors, theta, rotary):
            return found
    return None


def _candidates(smooth: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Pairs of high_freq_factor and the original context that the points between the wavelengths allow."""
    if not smooth:
        return [(4.0, 8192.0)]
    (first, short), (last, long) = smooth[0], smooth[-1]
    usual = (4.0, (3 * first + 1) * short)
    if len(smooth) == 1:
        return [usual]
    slope = (first - last) / (1 / short - 1 / long)
    offset = slope / short - first
    return [usual, (1 + 1 / offset, slope / offset)] if offset > 0 else [usual]


def _rounded(number: float) -> float:
    return float(f"{number:.5g}")


def _gives(found: dict[str, Any], divisors: Sequence[float], theta: float, rotary: int) -> bool:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(
        hidden_size=rotary,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=rotary,
        rope_parameters={**found, "rope_theta": theta},
    )
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    pairs = torch.arange(0, rotary, 2, dtype=torch.float64)
    wanted = theta ** (-pairs / rotary) / torch.tensor(divisors, dtype=torch.float64)
    return bool(((scaled.double() / wanted - 1).abs() < CLOSE).all())
