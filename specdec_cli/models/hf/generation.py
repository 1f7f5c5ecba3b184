"""What transformers' own `generate` takes to decode by the same law as ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import logging

# What a checkpoint may set and we do not do: each token by the model's own distribution, sampled or greedy.
NEUTRAL = {
    "num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0, "typical_p": 1.0,
    "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "temperature": 1.0, "top_k": 0, "top_p": 1.0,
}  # fmt: skip


def same_law(
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    max_tokens: int,
    ends: Sequence[int],
    vocabulary: int,
    **options: Any,
) -> dict[str, Any]:
    """The one configuration and the processors of logits for a call of `generate`.

    transformers 5.23 hands the target's processors to an assistant, which adds its own of the same
    configuration: the assistant's temperature, and its cuts, would be applied twice (the law stays the
    target's, but worse guesses are made). Given as processors beside a configuration that has none, they are
    applied once.

    Args:
        temperature: 0 for greedy.
        top_k: 0 for all tokens.
        top_p: 1 for all tokens.
        min_p: 0 for all tokens.
        max_tokens: to write.
        ends: tokens that end the text; where there is none, those of the checkpoint do not either.
        vocabulary: the number of tokens, which is no token's id.
        options: of the configuration besides.
    """
    warpers = LogitsProcessorList()
    if temperature > 0:
        warpers += [TemperatureLogitsWarper(temperature)] if temperature != 1 else []
        warpers += [TopKLogitsWarper(top_k)] if top_k else []
        warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
        warpers += [MinPLogitsWarper(min_p)] if min_p else []
    ending = {"eos_token_id": list(ends) or [vocabulary], "pad_token_id": 0}
    configuration: Any = GenerationConfig  # not annotated
    config = configuration(
        do_sample=temperature > 0, max_new_tokens=max_tokens, **NEUTRAL, **ending, **options
    )
    return {"generation_config": config, "logits_processor": warpers}


@contextmanager
def only_errors() -> Iterator[None]:
    """Keep the library's advice to developers out of the output: its assistant warns of its own call."""
    log: Any = logging  # not annotated
    before = log.get_verbosity()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(before)
