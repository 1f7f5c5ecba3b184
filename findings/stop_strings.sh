#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, tokenizers as transformers brings it
#
# `generate(stop_strings=...)` looks for the strings in the whole sequence, not in what was generated: one may begin in
# the prompt, as long as its last character is generated. With "\n\n" as the stop, a prompt that ends in a newline and a
# model that begins with one, the answer is empty. What lies in the prompt altogether does not stop. Special tokens are
# part of the text that is searched, by their names, but not where the tokenizer's decoder turns U+2581 into a space and
# the name has that mark, as "<｜end▁of▁sentence｜>" has: such a stop never matches.
#
# Seen: "a stop that begins in the prompt: True", "one that lies in the prompt: False",
#       "a special token: True", "a special token with U+2581 in its name: False".
#
# For speculative decoding: an engine that looks at what it emitted alone ends its texts elsewhere than the library that
# it is compared with, and a "stop" that never comes makes every text run to its limit, which flatters speeds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0
"$work/venv/bin/pip" install --quiet transformers==5.23.0
cat > "$work/see.py" <<'PYTHON'
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.generation.stopping_criteria import StopStringCriteria

MARKED = "<｜end▁of▁sentence｜>"
words = ["<unk>", "▁", "\n", *"abcdef<>"]
engine = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words)}, merges=[]))
engine.pre_tokenizer = pre_tokenizers.Metaspace()
engine.decoder = decoders.Metaspace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="<unk>")
tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>", MARKED]})


def stops(stop, tokens):
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
    return bool(StopStringCriteria(tokenizer, [stop])(ids, None))


seen = {
    "a stop that begins in the prompt": stops("\n\n", ["a", "\n"] + ["\n"]),
    "one that lies in the prompt": stops("\n", ["a", "\n"] + ["b"]),
    "a special token": stops("<|end|>", ["a", "<|end|>"]),
    "a special token with U+2581 in its name": stops(MARKED, ["a", MARKED]),
}
for what, found in seen.items():
    print(f"{what}: {found}")
sys.exit(0 if list(seen.values()) == [True, False, True, False] else 1)
PYTHON
"$work/venv/bin/python" "$work/see.py"
