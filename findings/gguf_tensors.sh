#!/usr/bin/env bash
# transformers 5.23.0 with gguf 0.19.0 (torch 2.13.0, accelerate 1.15.0): a GGUF file's tensors that it does not know
# are left out, and weights that the file lacks are drawn at random.
#
# Seen: with `rope_freqs.weight` (how llama.cpp's converter keeps the rotary scaling of Llama 3.1 to 3.3) the logits are
# bit for bit those of the file without it, and nothing is logged; the model that the file was written from has others.
# Without `blk.1.ffn_down.weight` the file loads too, and two loads give two different models; a table in a warning is
# the only sign. A part of a split file is such a file.
#
# For speculative decoding: a target or a draft from such a file is not the model that its name promises. The method stays
# lossless with respect to the wrong target, so no comparison of speculative with plain text shows it; compare the logits
# with the original checkpoint's, or count the tensors of the file against the weights of the model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0
"$work/venv/bin/pip" install -q transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0 numpy
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import math

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, GgufConfig, LlamaConfig, LlamaForCausalLM

HEADS, DIMS, LAYERS, VOCABULARY = 4, 16, 2, 64
SCALING = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 16}
torch.manual_seed(0)
original = LlamaForCausalLM(LlamaConfig(
    vocab_size=VOCABULARY, hidden_size=HEADS * DIMS, intermediate_size=96, num_hidden_layers=LAYERS, initializer_range=0.2,
    num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=128, rope_parameters=SCALING))


def divisors():
    found = []
    for pair in range(DIMS // 2):
        ratio = 16 / (2 * math.pi * 1e4 ** (2 * pair / DIMS))
        smooth = min(max((ratio - 1) / 3, 0), 1)
        found.append(1 / ((1 - smooth) / 8 + smooth))
    return np.array(found, np.float32)


def write(path, without="", more=None):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HEADS * DIMS)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e4)
    writer.add_rope_dimension_count(DIMS)
    writer.add_vocab_size(VOCABULARY)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for key, weight in original.state_dict().items():
        name, rows = names.get_name(key, (".weight",)), weight.numpy()
        if "q_proj" in key or "k_proj" in key:
            rows = rows.reshape(HEADS, 2, DIMS // 2, -1).swapaxes(1, 2).reshape(rows.shape)
        if name != without:
            writer.add_tensor(name, np.ascontiguousarray(rows))
    for name, value in (more or {}).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(model):
    with torch.no_grad():
        return model(torch.arange(2, 62)[None]).logits


def load(file, seed=0):
    torch.manual_seed(seed)
    return logits(AutoModelForCausalLM.from_pretrained(
        ".", gguf_file=file, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)))


write("plain.gguf")
write("scaled.gguf", more={"rope_freqs.weight": divisors()})
write("lacking.gguf", without="blk.1.ffn_down.weight")
plain, scaled = load("plain.gguf"), load("scaled.gguf")
ignored = torch.equal(plain, scaled)
away = (scaled - logits(original)).abs().max().item()
one, two = load("lacking.gguf", 1), load("lacking.gguf", 2)
apart = (one - two).abs().max().item()
print(f"rope_freqs.weight changes the loaded model: {not ignored}; it is {away:.3f} from the original's logits")
print(f"a file without blk.1.ffn_down.weight loads, and two loads are {apart:.3f} apart")
raise SystemExit(0 if ignored and away > 0.1 and apart > 0.01 else 1)
PYTHON
