"""Write a Llama of about a billion random parameters in bfloat16, a shard a layer, never holding two layers.

Its text is noise; its bytes are as many as a real model's, which is what streaming is measured by. The
tokenizer is that of the default target, so `specdec models pull smollm2-135m` comes first.

    python benchmarks/make_large_model.py FOLDER
    specdec offload-bench -m FOLDER --memory-limit 1GiB --methods ngram --raw --n-tests 2 -n 8
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig

from specdec_cli.models.hf.checkpoint import INDEX
from specdec_cli.models.hf.tokenizer import read_tokenizer
from specdec_cli.models.hub.cache import require_disk
from specdec_cli.models.hub.resolve import resolve

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SPREAD = 0.02


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--inner", type=int, default=4096)
    parser.add_argument("--tokenizer", default="smollm2-135m")
    options = parser.parse_args()
    source = resolve(options.tokenizer, weights=False, report=print).folder
    vocabulary = json.loads((source / "config.json").read_text())["vocab_size"]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.inner,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden // 128,
        num_key_value_heads=options.hidden // 384,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
        bos_token_id=1,
        eos_token_id=2,
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    require_disk(options.folder, 2 * _parameters(config), "The model")
    read_tokenizer(source)  # it is whole
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            (options.folder / name).write_bytes((source / name).read_bytes())
    _write_shards(options.folder, config)
    config.save_pretrained(options.folder)  # last: without it, the folder is no model
    print(f"{_parameters(config):,} parameters in {options.folder}")


def _write_shards(folder: Path, config: LlamaConfig) -> None:
    weight_map: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(_shards(config)):
        name = f"model-{number:05}.safetensors"
        part = folder / f"{name}.part"
        save_file(tensors, part)
        os.replace(part, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(each.nbytes for each in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))


def _shards(config: LlamaConfig) -> Iterator[dict[str, Tensor]]:
    """The embedding with the last norm, then a layer at a time."""
    yield {
        "model.embed_tokens.weight": _random(config.vocab_size, config.hidden_size),
        "model.norm.weight": torch.ones(config.hidden_size, dtype=torch.bfloat16),
    }
    for layer in range(config.num_hidden_layers):
        yield {f"model.layers.{layer}.{name}": weight for name, weight in _layer(config).items()}


def _layer(config: LlamaConfig) -> dict[str, Tensor]:
    hidden, inner = config.hidden_size, config.intermediate_size
    assert config.num_key_value_heads is not None
    shared = hidden // config.num_attention_heads * config.num_key_value_heads
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (shared, hidden),
        "self_attn.v_proj": (shared, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    ones = {f"{name}.weight": torch.ones(hidden, dtype=torch.bfloat16) for name in norms}
    return ones | {f"{name}.weight": _random(*shape) for name, shape in shapes.items()}


def _random(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, SPREAD)


def _parameters(config: LlamaConfig) -> int:
    with torch.device("meta"):
        layer = sum(weight.numel() for weight in _layer(config).values())
    return int(layer * config.num_hidden_layers + (config.vocab_size + 1) * config.hidden_size)


if __name__ == "__main__":
    main()
