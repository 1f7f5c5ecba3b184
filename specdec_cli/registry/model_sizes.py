"""Sizes of models that presets name, from their published configurations: to plan before fetching."""

from __future__ import annotations

import re
from dataclasses import dataclass

from specdec_cli.registry.models import REGISTRY


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What decides a model's memory.

    Attributes:
        parameters: number of weights.
        layers: decoder layers; 0 where unknown.
        key_heads: heads of keys and of values.
        head_size: numbers in each.
        bits: of a weight as published; 4 for GPTQ.
        gated: whether the hub asks for an account that accepted the licence.
        guessed: whether the name alone says so.
    """

    parameters: int
    layers: int = 0
    key_heads: int = 0
    head_size: int = 0
    bits: int = 16
    gated: bool = False
    guessed: bool = False


_LLAMA_7B = ModelSize(6_738_415_616, 32, 32, 128)
_LLAMA_2_7B = ModelSize(6_738_415_616, 32, 32, 128, gated=True)
_LLAMA_2_13B = ModelSize(13_015_864_320, 40, 40, 128, gated=True)
_LLAMA_2_70B = ModelSize(68_976_648_192, 80, 8, 128, gated=True)
_SMOLLM2_135M = ModelSize(134_515_008, 30, 3, 64)

KNOWN = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
    "JackFram/llama-68m": ModelSize(68_030_208, 2, 12, 64),
    "JackFram/llama-160m": ModelSize(162_417_408, 12, 12, 64),
    "Qwen/Qwen2.5-0.5B-Instruct": ModelSize(494_032_768, 24, 2, 64),
    "Qwen/Qwen2.5-7B-Instruct": ModelSize(7_615_616_512, 28, 4, 128),
    "TheBloke/Llama-2-70B-Chat-GPTQ": ModelSize(68_976_648_192, 80, 8, 128, bits=4),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": ModelSize(1_100_048_384, 22, 4, 64),
    "google/gemma-3-270m": ModelSize(268_098_176, 18, 1, 256),
    "huggyllama/llama-7b": _LLAMA_7B,
    "lmsys/vicuna-33b-v1.3": ModelSize(32_528_943_616, 60, 52, 128),
    "meta-llama/Llama-2-13b-chat-hf": _LLAMA_2_13B,
    "meta-llama/Llama-2-70b-chat-hf": _LLAMA_2_70B,
    "meta-llama/Llama-2-7b-chat-hf": _LLAMA_2_7B,
    "mistralai/Mistral-7B-Instruct-v0.2": ModelSize(7_241_732_096, 32, 8, 128, gated=True),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": ModelSize(46_702_792_704, 32, 8, 128, gated=True),
    "princeton-nlp/Sheared-LLaMA-1.3B": ModelSize(1_345_423_360, 24, 16, 128),
}
COUNT = re.compile(r"(?<![0-9.])([0-9]{1,6}(?:\.[0-9]{1,6})?)([bm])(?![a-z])", re.IGNORECASE)
FOUR_BITS = re.compile(r"gptq|awq|4bit|int4", re.IGNORECASE)


def size_of(name: str) -> ModelSize | None:
    """The size of a model by its name; guessed from a part such as 7B where it is none of `KNOWN`."""
    entry = REGISTRY.get(name)
    found = KNOWN.get(entry.hub_id if entry else name)
    if found is not None:
        return found
    counts = COUNT.findall(name.rsplit("/", 1)[-1])
    if not counts:
        return None
    number, unit = counts[0]
    parameters = int(float(number) * (1e9 if unit.lower() == "b" else 1e6))
    return ModelSize(parameters, bits=4 if FOUR_BITS.search(name) else 16, guessed=True)
