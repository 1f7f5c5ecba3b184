#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, safetensors 0.8.0
#
# Whether a language model's output layer is tied to its embedding is decided by what the checkpoint stores, not by
# `tie_word_embeddings`: with the flag true and both tensors stored and different, `from_pretrained` leaves them apart
# and says so in a log line only. But every later `tie_weights()`, and so `resize_token_embeddings()`, goes by the flag
# again: the stored head is dropped, and the model says something else, without a word.
#
# Seen: "from_pretrained keeps the stored head: True", "tie_weights() drops it: True",
#       "resize_token_embeddings() drops it: True", "largest change of a logit: " and a number far from 0.
#
# For speculative decoding: a draft or target that was resized to a common vocabulary, or loaded by code that ties by the
# flag (offloading, quantized loaders), is another model than the one in the file. As a target it changes the text; as a
# draft it costs acceptance. Compare the head with the stored one after every step that resizes or ties.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0
"$work/venv/bin/pip" install --quiet transformers==5.23.0 safetensors
cat > "$work/see.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

folder = Path(sys.argv[1])
torch.manual_seed(0)
sizes = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
LlamaForCausalLM(LlamaConfig(**sizes, initializer_range=0.2)).save_pretrained(folder)
config = json.loads((folder / "config.json").read_text())
(folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
ids = torch.tensor([[5, 9, 30, 7]])


@torch.inference_mode()
def logits(model):
    return model(input_ids=ids).logits


def is_tied(model):
    return model.lm_head.weight is model.model.embed_tokens.weight


loaded = AutoModelForCausalLM.from_pretrained(folder)
before, kept = logits(loaded), not is_tied(loaded)
loaded.tie_weights()
dropped = is_tied(loaded)
change = float((logits(loaded) - before).abs().max())
resized = AutoModelForCausalLM.from_pretrained(folder)
resized.resize_token_embeddings(72)
also = is_tied(resized)
print("from_pretrained keeps the stored head:", kept)
print("tie_weights() drops it:", dropped)
print("resize_token_embeddings() drops it:", also)
print(f"largest change of a logit: {change:.2f}")
sys.exit(0 if kept and dropped and also and change > 0.01 else 1)
PYTHON
"$work/venv/bin/python" "$work/see.py" "$work/model"
