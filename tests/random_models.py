"""Tiny random models of several architectures, in float64."""

from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from specdec_cli.tree import ROOT, TokenTree

VOCABULARY = 61
CONTEXT = 4096
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "initializer_range": 0.5,
}
HEADS = {**COMMON, "head_dim": 8}
ARCHITECTURES = {
    "llama": lambda: LlamaConfig(**COMMON),
    "qwen2": lambda: Qwen2Config(**COMMON),
    "qwen3": lambda: Qwen3Config(**HEADS),
    "mistral": lambda: MistralConfig(**COMMON, sliding_window=None),
    "phi3": lambda: Phi3Config(**COMMON, sliding_window=None),
    "gemma": lambda: GemmaConfig(**HEADS),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=0.5,
        bos_token_id=None, eos_token_id=None,
    ),
}  # fmt: skip
WINDOWED = {
    "mistral": lambda: MistralConfig(**COMMON, sliding_window=8),
    "gemma2": lambda: Gemma2Config(**HEADS, sliding_window=8),
    "gemma3": lambda: Gemma3TextConfig(**{**HEADS, "num_hidden_layers": 7}, sliding_window=8),
}


def random_model(config, seed=0):
    """A model with random weights, large enough that its distributions are far from uniform."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval().requires_grad_(False)


def random_tokens(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (count,), generator=generator).tolist()


@torch.inference_mode()
def plain_logits(model, tokens, last=1):
    """Logits after the last tokens of a text, from one pass without any cache: (last, V)."""
    return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -last:]


def random_tree(size, chance, deepest=None):
    """A tree with random parents; with `deepest`, one of exactly that depth."""
    parents = []
    for node in range(size):
        backbone = deepest is not None and node < deepest
        parents.append(node - 1 if backbone else chance.randrange(ROOT, node) if deepest is None else ROOT)
    return TokenTree(tuple(random_tokens(size, chance.randrange(10**6))), tuple(parents))


def expected_logits(model, text, tree):
    """Each path scored alone, without a cache."""
    texts = [list(text)]
    for token, parent in zip(tree.tokens, tree.parents, strict=True):
        texts.append([*texts[parent + 1], token])
    return torch.cat([plain_logits(model, each) for each in texts])
