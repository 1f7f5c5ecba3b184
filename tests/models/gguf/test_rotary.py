"""Rotary scalings of a file rotate as those of the checkpoint that it was written from."""

import math
from typing import Any

import gguf_files as files
import numpy as np
import pytest
import tiny_checkpoints as tiny
from gguf_files import difference


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
def test_every_rotary_scaling_rotates_as_the_checkpoints_does(tmp_path, case):
    rope, keys, tensors = SCALINGS[case]
    path, model = files.llama(
        tmp_path / "m.gguf", keys=keys, more=tensors, rope_parameters={"rope_theta": 10000.0, **rope}
    )
    plain = tiny.model(seed=0, tie_word_embeddings=False, initializer_range=0.2)
    scales = (files.logits(model, files.TEXT) - files.logits(plain, files.TEXT)).abs().max() > 1e-3
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
        tie_word_embeddings=False,
    )
    keys = {"rope.scaling.attn_factor": 1.25, "rope.scaling.original_context_length": 32}
    header = files.shape_keys(model.config, "phi3", **keys) | files.word_keys()
    path = files.write(tmp_path / "m.gguf", "phi3", header, files.arrays(model, "phi3") | TABLES)
    assert difference(path, model) < 1e-4
