#!/usr/bin/env bash
# Seen with: transformers 5.23.0, torch 2.13.0 (CPU).
#
# Dynamic NTK scaling (`rope_type: dynamic`) makes rotary frequencies for the length of the text once it is longer than
# `max_position_embeddings`. The module keeps those of the longest text that it has met, and takes the original ones back
# only when a call is shorter than `max_position_embeddings`. So the logits of a text that is longer than that depend on
# which texts the model read before; and a text that is read at once has other logits than the same text read token by
# token, since keys stay as they were turned.
#
# Output seen (largest difference of the last logits):
#   the same text again, after a longer one:      2.8
#   the same text again, after a short one:       0.0
#   the same text, its last 20 tokens one by one: 3.1  (logits of size 4)
#
# For a user of speculative decoding: with such a model the draft's and the target's passes, a server's other requests and
# the size of a chunk all change the law of the text. Two runs can differ with nothing wrong in either decoder, and a
# decoder that scores several tokens in a pass has to turn each row for its own length to stay lossless.
set -euo pipefail

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
"$place/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0

"$place/venv/bin/python" - <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.2,
    rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
)).eval()
tokens = torch.randint(0, 64, (1, 120))


@torch.inference_mode()
def last(length, steps=0):
    """The last logits of a text; its last `steps` tokens are read one by one."""
    output = model(tokens[:, : length - steps], use_cache=True)
    for place in range(length - steps, length):
        output = model(tokens[:, place : place + 1], past_key_values=output.past_key_values)
    return output.logits[0, -1]


first = last(60)
last(120)
longer = (last(60) - first).abs().max().item()
last(10)
short = (last(60) - first).abs().max().item()
last(10)
stepwise = (last(60, steps=20) - first).abs().max().item()
print(f"the same text again, after a longer one:      {longer:.1f}")
print(f"the same text again, after a short one:       {short:.1f}")
print(f"the same text, its last 20 tokens one by one: {stepwise:.1f}  (logits of size {first.abs().max():.0f})")
raise SystemExit(not (longer > 0.05 and short < 1e-4 and stepwise > 0.05))
PYTHON
