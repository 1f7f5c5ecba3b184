"""Every tensor of a file is used and every weight filled, or the file is refused."""

from typing import Any

import gguf
import gguf_files as files
import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from gguf_files import converted

from specdec_cli.errors import InputError

EXTRA = np.ones((32, 32), np.float32)
WRONG_TENSORS: dict[str, dict[str, Any]] = {
    "lacks the tensor blk.1.ffn_down.weight": {"without": ("blk.1.ffn_down.weight",)},
    "lacks the tensor output_norm.weight": {"without": ("output_norm.weight",)},
    "lacks the tensor token_embd.weight": {"without": ("token_embd.weight",)},
    "lacks the tensor blk.0.attn_q.weight": {"rename": {"blk.0.attn_q.weight": "blk.0.attn_query.weight"}},
    "its tensor blk.0.attn_gate.weight is none of": {"more": {"blk.0.attn_gate.weight": EXTRA}},
    "its tensor v.patch.weight is none of": {"more": {"v.patch.weight": EXTRA}},
    "block_count is 3, and it holds tensors of 2": {"keys": {"block_count": 3}},
    "block_count is 1, and it holds tensors of 2": {"keys": {"block_count": 1}},
    "block_count is 1000000, and": {"keys": {"block_count": 1000000}},
    "ffn_gate.weight has the sizes": {"keys": {"feed_forward_length": 2000000000}},
    "has the sizes \\[259, 32\\]": {"keys": {"embedding_length": 64}},
    "rope_freqs.weight has factors that are not": {"more": {"rope_freqs.weight": np.zeros(4, np.float32)}},
    "3 rotary factors for 4": {"more": {"rope_freqs.weight": np.ones(3, np.float32)}},
    "belong together, and one is missing": {"more": {"rope_factors_long.weight": np.ones(4, np.float32)}},
    "values that are no numbers": {"more": {"blk.0.attn_norm.weight": np.full(32, np.nan, np.float32)}},
    "tokenizer has 259 tokens, and its embedding 200": {
        "more": {"token_embd.weight": np.ones((200, 32), np.float32)}
    },
}


@pytest.mark.parametrize("message", WRONG_TENSORS)
def test_every_tensor_is_used_and_every_weight_filled_or_the_file_is_refused(tmp_path, cache, message):
    path, _ = files.llama(tmp_path / "m.gguf", **WRONG_TENSORS[message])
    with pytest.raises(InputError, match=message) as caught:
        converted(path)
    assert "\n" not in caught.value.problem
    assert not (cache / "converted").exists()


def test_a_file_without_tensors_is_refused(tmp_path):
    model = tiny.model()
    header = files.shape_keys(model.config, "llama") | files.word_keys()
    with pytest.raises(InputError, match="holds no tensors"):
        converted(files.write(tmp_path / "m.gguf", "llama", header, {}))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "IQ4_NL"])
def test_quantised_weights_are_those_that_gguf_unpacks(tmp_path, kind):
    number = gguf.GGMLQuantizationType[kind]
    path, model = files.llama(tmp_path / "m.gguf")
    name, weight = "blk.1.ffn_up.weight", model.model.layers[1].mlp.up_proj.weight
    try:
        packed = gguf.quantize(weight.detach().numpy(), number)
    except NotImplementedError:
        packed = np.random.default_rng(0).integers(0, 50, (48, 18), np.uint8)
        packed[:, :2] = np.frombuffer(np.float16(0.1).tobytes(), np.uint8)
    files.llama(path, more={name: packed}, raw={name: number})
    loaded = converted(path).model.model.layers[1].mlp.up_proj.weight
    assert torch.equal(loaded, torch.from_numpy(np.array(gguf.dequantize(packed, number), np.float32)))


def test_a_type_that_cannot_be_unpacked_is_named(tmp_path):
    name = "blk.0.ffn_up.weight"
    whole = {name: np.ones((48, 32), np.int32)}
    path, _ = files.llama(tmp_path / "m.gguf", more=whole)
    with pytest.raises(InputError, match=f"{name} is of the type I32, which cannot be unpacked"):
        converted(path)
