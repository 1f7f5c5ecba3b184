"""What a checkpoint says before it is read: its context, rotary scaling counted, and its weights' size."""

from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
import transformers

from specdec_cli.models.hf.checkpoint import UNLIMITED, context_length, weight_bytes

THETA = {"rope_theta": 1e4}
LISTS = {"short_factor": [1.0] * 32, "long_factor": [2.0] * 32}
LLAMA3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **THETA}


def yarn(factor, original=None):
    start = {"original_max_position_embeddings": original} if original else {}
    return {"rope_type": "yarn", "factor": factor, **start}


def long(**more):
    return {"rope_type": "longrope", **LISTS, "original_max_position_embeddings": 4096, **more}


OLDER = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
LINEAR = {"rope_type": "linear", "factor": 4.0}
NESTED = {"full_attention": {**LINEAR, **THETA}, "sliding_attention": {"rope_type": "default", **THETA}}
CASES = {
    "no scaling": ("Llama", 4096, None, 4096),
    "YaRN as Qwen2.5's card says": ("Qwen2", 32768, yarn(4.0, 32768), 131072),
    "YaRN as older files write it": ("Qwen2", 32768, OLDER, 131072),
    "YaRN that says nothing of its start": ("Qwen2", 1024, yarn(2.5), 2560),
    "YaRN with the longer context stated": ("Llama", 65536, yarn(8.0, 8192), 65536),
    "YaRN with a longer context stated than it makes": ("Llama", 131072, yarn(4.0, 8192), 131072),
    "linear": ("Llama", 4096, LINEAR, 16384),
    "linear in one kind of layer": ("Gemma3Text", 131072, NESTED, 131072),
    "dynamic": ("Llama", 2048, {"rope_type": "dynamic", "factor": 2.0}, 4096),
    "Llama 3": ("Llama", 131072, {**LLAMA3, "original_max_position_embeddings": 8192}, 131072),
    "LongRoPE with the longer context stated": ("Llama", 131072, long(), 131072),
    "LongRoPE by a factor": ("Llama", 4096, long(factor=32.0), 131072),
    "learned positions": ("GPT2", 1024, LINEAR, 1024),
    "learned positions with an offset": ("OPT", 2048, LINEAR, 2048),
}


@pytest.mark.parametrize("case", CASES)
def test_the_context_is_the_stated_one_or_what_scaling_makes_of_it(case):
    architecture, stated, rope, expected = CASES[case]
    kind = getattr(transformers, f"{architecture}Config")
    scaling = {"rope_parameters": dict(rope)} if rope else {}
    config = kind(max_position_embeddings=stated, **scaling)
    assert context_length(config) == expected


def test_a_scaling_in_the_older_field_counts():
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    fields: dict[str, Any] = {"max_position_embeddings": 64, "rope_scaling": rope}
    assert context_length(transformers.Qwen2Config(**fields)) == 256


def test_a_configuration_that_states_no_context_has_no_limit():
    assert context_length(transformers.BloomConfig()) == UNLIMITED


def test_the_size_of_weights_follows_the_number_format(tmp_path):
    folder = tiny.folder(tmp_path / "tiny-llama")
    weights = sum(weight.numel() for weight in tiny.model().parameters())
    for dtype in (torch.float32, torch.bfloat16):
        assert weight_bytes(folder, dtype) == weights * dtype.itemsize
