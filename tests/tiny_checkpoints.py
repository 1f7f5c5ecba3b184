"""Tiny models on disk: folders, GGUF files and wheels, with random weights and a byte-level tokenizer."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, PreTrainedTokenizerFast

from specdec_cli.registry.models import ModelEntry

SPECIAL = ("<s>", "</s>")
TEMPLATE = "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}|{% endfor %}assistant:"
WORDS = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab")
ASCII = (*SPECIAL, *map(chr, range(33, 127)), "Ġ", "Ċ")  # whatever is drawn is readable text
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def tokenizer(words=WORDS, *, template=TEMPLATE, adds=""):
    """A tokenizer of bytes; `words` are its tokens by id; `adds` is a pattern such as "<s> $A </s>"."""
    engine = Engine(models.BPE(vocab={word: token for token, word in enumerate(words)}, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    if adds:
        special = [(name, words.index(name)) for name in SPECIAL]
        engine.post_processor = processors.TemplateProcessing(single=adds, special_tokens=special)
    inner = PreTrainedTokenizerFast(tokenizer_object=engine, bos_token="<s>", eos_token="</s>")
    inner.chat_template = template
    return inner


def model(architecture="Llama", *, seed=0, **changes):
    """A random model of that architecture, in float32; a change to `...` leaves a size out."""
    settings = {key: value for key, value in {**SIZES, **changes}.items() if value is not ...}
    config = getattr(transformers, f"{architecture}Config")(**settings)
    torch.manual_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def folder(path: Path, *, template=TEMPLATE, words=WORDS, noise=0.0, **changes) -> Path:
    """A model folder at `path`; `noise` on the weights makes a draft that often says what the model says."""
    made = model(**{"vocab_size": len(words), **changes})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight += noise * torch.randn(weight.shape, generator=generator)
    made.save_pretrained(path)
    tokenizer(words, template=template).save_pretrained(path)
    return path


def gguf_file(path: Path, seed: int = 0) -> Path:
    """A GGUF file of a random Llama, its weights in float32."""
    config = LlamaConfig(**SIZES)
    assert config.num_key_value_heads
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(WORDS))
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(WORDS) - 2))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, shape in _gguf_shapes(config).items():
        writer.add_tensor(name, np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _gguf_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    hidden, inner = config.hidden_size, config.intermediate_size
    assert config.num_key_value_heads
    assert config.head_dim
    shared = config.num_key_value_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (config.vocab_size, hidden)}
    shapes |= {"output_norm.weight": (hidden,), "output.weight": (config.vocab_size, hidden)}
    for layer in range(config.num_hidden_layers):
        block = {
            "attn_norm": (hidden,),
            "ffn_norm": (hidden,),
            "attn_q": (hidden, hidden),
            "attn_k": (shared, hidden),
            "attn_v": (shared, hidden),
            "attn_output": (hidden, hidden),
            "ffn_gate": (inner, hidden),
            "ffn_up": (inner, hidden),
            "ffn_down": (hidden, inner),
        }
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def wheel(path: Path, weights: bytes) -> ModelEntry:
    """A wheel in the folder `path` that carries `weights`, and a registry entry that expects just that."""
    file, member = path / "tiny_weights-1.0-py3-none-any.whl", "tiny_weights/tiny.gguf"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, weights)
    return ModelEntry(
        name="tiny",
        description="a tiny model",
        hub_id="nobody/tiny",
        wheel="tiny-weights==1.0",
        wheel_file=file.name,
        wheel_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        gguf=member,
        gguf_sha256=hashlib.sha256(weights).hexdigest(),
        gguf_bytes=len(weights),
        download_bytes=file.stat().st_size,
        licence="Apache-2.0",
        parameters=1000,
        default_draft=None,
    )
