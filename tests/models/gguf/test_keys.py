"""A file's keys say all of the model, or the one that is missing or not understood is named."""

import gguf_files as files
import pytest
import tiny_checkpoints as tiny
from gguf_files import converted, difference

from specdec_cli.errors import InputError

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
