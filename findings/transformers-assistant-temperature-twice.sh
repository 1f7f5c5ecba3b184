#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0: assisted generation applies the temperature twice to the assistant's logits.
#
# `generate(..., assistant_model=A, do_sample=True, temperature=T)` gives A the target's list of logits processors,
# and A's own `generate` builds the temperature again from the copied configuration: A guesses at T * T. The text
# keeps the target's law, since acceptance divides by what A really sampled from, but fewer guesses are accepted.
# A model that assists itself should have every guess accepted; with 4 guesses a round, 100 tokens take 20 passes.
#
# Seen: at 0.5, 1 and 2 it took 23, 20 and 36 passes; with the temperature as a logits processor beside a
# configuration without it, 20, 20 and 20.
#
# For a user of speculative decoding: acceptance rates and speed-ups of assisted generation measured at another
# temperature than 1 are too low. Top-p is applied twice likewise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0
"$folder/venv/bin/pip" install -q transformers==5.23.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import copy

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList, TemperatureLogitsWarper
from transformers.utils import logging

logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=512, eos_token_id=None, bos_token_id=None, initializer_range=0.9,
)
target = LlamaForCausalLM(config).eval()
assistant = copy.deepcopy(target)
assistant.generation_config.num_assistant_tokens = 4
assistant.generation_config.num_assistant_tokens_schedule = "constant"
assistant.generation_config.assistant_confidence_threshold = 0.0
prompt = torch.arange(8)[None]
common = {"do_sample": True, "top_k": 0, "max_new_tokens": 100}


def passes(**options):
    """Target passes that 100 tokens take."""
    counted = []

    def stop(tokens, scores, **_):
        counted.append(1)
        return torch.zeros(1, dtype=torch.bool)

    torch.manual_seed(1)
    mask = torch.ones_like(prompt)
    target.generate(prompt, attention_mask=mask, assistant_model=assistant, stopping_criteria=[stop], **options)
    return len(counted)


found = {}
for temperature in (0.5, 1.0, 2.0):
    usual = passes(generation_config=GenerationConfig(temperature=temperature, **common))
    once = passes(
        generation_config=GenerationConfig(temperature=1.0, **common),
        logits_processor=LogitsProcessorList([TemperatureLogitsWarper(temperature)]),
    )
    found[temperature] = (usual, once)
    print(f"temperature {temperature}: {usual} passes as configured, {once} with the temperature applied once")
assert all(once == 20 for _, once in found.values()), found
assert found[1.0][0] == 20 and found[0.5][0] > 20 and found[2.0][0] > 20, found
PYTHON
