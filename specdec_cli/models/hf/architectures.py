"""What is known of architectures by name: one row each, and nothing of those that have none.

An architecture without a row works as well, where its attention takes a mask and its past can be dropped
(`runner/tree_support.py` tries that out); it runs through its own module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is asked of an architecture by its name.

    Attributes:
        name: `model_type` of its configuration in transformers.
        tree_exact: tests show that its own module scores trees exactly, past its windows too, so that no
            model of it need be tried out when it is loaded.
        fusable: its decoder is norm, attention, add, norm, gated product, add, and tests show that
            `forward/fused.py` computes it.
        norm_offset: its norms store what their scale exceeds 1 by, and scale before they round.
        norm_eps: attribute of its norms that holds what is added to the mean square.
        embedding_scaled: what is looked up in the embedding is multiplied by the root of the hidden size.
        rereads: transformers reads the whole text again when it grows past the length at which the
            frequencies of LongRoPE switch.
    """

    name: str
    tree_exact: bool = False
    fusable: bool = False
    norm_offset: bool = False
    norm_eps: str = "variance_epsilon"
    embedding_scaled: bool = False
    rereads: bool = False


ARCHITECTURES = {
    row.name: row
    for row in (
        Architecture(
            "gemma",
            tree_exact=True,
            fusable=True,
            norm_offset=True,
            norm_eps="eps",
            embedding_scaled=True,
        ),
        Architecture("gemma2", tree_exact=True),
        Architecture("gemma3_text", tree_exact=True),
        Architecture("gpt2", tree_exact=True),
        Architecture("llama", tree_exact=True, fusable=True),
        Architecture("mistral", tree_exact=True, fusable=True),
        Architecture("phi3", tree_exact=True, rereads=True),
        Architecture("phi4_multimodal", rereads=True),
        Architecture("phimoe", rereads=True),
        Architecture("qwen2", tree_exact=True, fusable=True),
        Architecture("qwen3", tree_exact=True, fusable=True),
    )
}


def architecture_of(config: Any) -> Architecture:
    """The row of a model's architecture; for one that is not in the table, a row that claims nothing.

    Args:
        config: transformers' configuration, of the part that reads text where there are several.
    """
    return ARCHITECTURES.get(config.model_type) or Architecture(config.model_type)
