"""Tiny models whose products are of many kinds: what quantizes or changes matrices is tried on all."""

from typing import Any

import tiny_checkpoints as tiny
import torch

from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.loader import LoadedModel, count_parameters

SIZES = {"hidden_size": 64, "intermediate_size": 96, "initializer_range": 0.2, "pad_token_id": 0}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 4}  # all chosen: near ties choose alike
VARIANTS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Llama, odd head": {"vocab_size": 263},
    "GPT2": {},
    "Falcon": {"head_dim": ..., "new_decoder_architecture": True, "num_kv_heads": 2},
    "GPTBigCode": {},
    "GPTJ": {"rotary_dim": 4},
    "OPT": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "Mixtral": EXPERTS,
    "GptOss": EXPERTS,
    "Bert": {"is_decoder": True},
    "ModernBertDecoder": {"head_dim": ...},
    "Llama4Text": {**EXPERTS, "intermediate_size_mlp": 96},
}
TOKENS = torch.tensor([[5, 9, 30, 7, 7, 100, 42]])


def model(variant):
    """A random model of a variant, its weights without gradients."""
    made = tiny.model(variant.partition(",")[0], **{**SIZES, **VARIANTS[variant]})
    return made.requires_grad_(False)


def loaded(made):
    """The model as the loader gives it."""
    return LoadedModel(
        name="tiny",
        model=made,
        tokenizer=Tokenizer(tiny.tokenizer()),
        context=128,
        stop_tokens=frozenset({1}),
        dtype=torch.float32,
        device=torch.device("cpu"),
        parameters=count_parameters(made),
        source="memory",
    )


@torch.no_grad()
def logits(made):
    """(1, tokens, V) of one text."""
    return made(TOKENS).logits
