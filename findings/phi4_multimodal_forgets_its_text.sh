#!/usr/bin/env bash
# Seen with: transformers 5.23.0, torch 2.13.0 (CPU).
#
# Phi-3 and its relatives use one set of rotary frequencies up to `original_max_position_embeddings` tokens and another
# beyond. When a text grows past that, `prepare_inputs_for_generation` drops the cache so that all is read again. In
# Phi-3 it also undoes the cut of the input to its last token (`next_sequence_length`). In Phi-4-multimodal it does not:
# the cache is dropped and the model is given the last token alone. From there on `generate` goes on as if that one token
# were the whole text, whatever kind of rotary scaling the configuration has.
#
# Output seen:
#   Phi-3:            9 of 9 tokens past the switch are what the whole text gives
#   Phi-4-multimodal: 0 of 9 tokens past the switch are what the whole text gives
#
# For a user of speculative decoding: a text of Phi-4-multimodal that crosses 4,096 tokens (its default) loses its prompt
# there in plain `generate`, so "the same text as plain decoding" is no law to hold a speculative decoder to, and an
# assisted run, whose calls bring several tokens, loses another part of it.
set -euo pipefail

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
"$place/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0

"$place/venv/bin/python" - <<'PYTHON'
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

transformers.logging.set_verbosity_error()
SWITCH, PROMPT, COUNT = 20, 12, 18
SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, original_max_position_embeddings=SWITCH,
    initializer_range=0.2, sliding_window=None, bos_token_id=0, eos_token_id=1, pad_token_id=2,
)
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
AUDIO = dict(hidden_size=16, intermediate_size=16, num_blocks=1, num_attention_heads=2, ext_pw_out_channel=16,
             depthwise_separable_out_channel=16, nemo_conv_channels=16)


def as_the_whole_text_says(kind, **more):
    """Of the tokens past the switch, how many are the likeliest after the whole text before them."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL, **more)).eval()
    prompt = torch.arange(5, 5 + PROMPT)[None]
    with torch.inference_mode():
        text = model.generate(prompt, max_new_tokens=COUNT, do_sample=False, eos_token_id=None)
        places = range(SWITCH + 1, text.shape[1])
        whole = [model(text[:, :place], use_cache=False).logits[0, -1].argmax() for place in places]
    return sum(int(token) == int(text[0, place]) for place, token in zip(places, whole)), len(places)


phi3 = as_the_whole_text_says("phi3")
phi4 = as_the_whole_text_says("phi4_multimodal", vision_config=VISION, audio_config=AUDIO)
print(f"Phi-3:            {phi3[0]} of {phi3[1]} tokens past the switch are what the whole text gives")
print(f"Phi-4-multimodal: {phi4[0]} of {phi4[1]} tokens past the switch are what the whole text gives")
raise SystemExit(not (phi3[0] == phi3[1] and phi4[0] <= phi4[1] // 2))
PYTHON
