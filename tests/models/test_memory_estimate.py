"""What models are said to take, beside what they take."""

from pathlib import Path

import pytest
import tiny_checkpoints as tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from specdec_cli.models.eagle.files import head_size
from specdec_cli.models.hf.checkpoint import weight_bytes
from specdec_cli.models.memory_estimate import PROMPT, cache_itemsize, estimate, estimate_draft, total_bytes
from specdec_cli.registry.model_sizes import KNOWN, ModelSize, size_of
from specdec_cli.registry.models import REGISTRY
from specdec_cli.resources import shipped_drafts
from specdec_cli.settings.draft_spec import parse_draft

# Published configurations: hidden, intermediate, layers, heads, key heads, vocabulary, tied.
SHAPES = {
    "JackFram/llama-68m": (LlamaConfig, 768, 3072, 2, 12, 12, 32000, False),
    "JackFram/llama-160m": (LlamaConfig, 768, 3072, 12, 12, 12, 32000, False),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": (LlamaConfig, 2048, 5632, 22, 32, 4, 32000, False),
    "meta-llama/Llama-2-7b-chat-hf": (LlamaConfig, 4096, 11008, 32, 32, 32, 32000, False),
    "meta-llama/Llama-2-13b-chat-hf": (LlamaConfig, 5120, 13824, 40, 40, 40, 32000, False),
    "meta-llama/Llama-2-70b-chat-hf": (LlamaConfig, 8192, 28672, 80, 64, 8, 32000, False),
    "lmsys/vicuna-33b-v1.3": (LlamaConfig, 6656, 17920, 60, 52, 52, 32000, False),
    "princeton-nlp/Sheared-LLaMA-1.3B": (LlamaConfig, 2048, 5504, 24, 16, 16, 32000, False),
    "HuggingFaceTB/SmolLM2-135M-Instruct": (LlamaConfig, 576, 1536, 30, 9, 3, 49152, True),
    "mistralai/Mistral-7B-Instruct-v0.2": (MistralConfig, 4096, 14336, 32, 32, 8, 32000, False),
    "Qwen/Qwen2.5-7B-Instruct": (Qwen2Config, 3584, 18944, 28, 28, 4, 152064, False),
    "Qwen/Qwen2.5-0.5B-Instruct": (Qwen2Config, 896, 4864, 24, 14, 2, 151936, True),
}


@pytest.mark.parametrize("name", SHAPES)
def test_known_sizes_are_those_of_the_published_configurations(name: str) -> None:
    kind, hidden, inner, layers, heads, key_heads, vocabulary, tied = SHAPES[name]
    config = kind(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=key_heads, vocab_size=vocabulary, tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(config)
    size = KNOWN[name]
    assert size.parameters == sum(each.numel() for each in made.parameters())
    assert (size.layers, size.key_heads) == (layers, key_heads)
    assert size.head_size == hidden // heads


def test_the_registry_and_the_table_agree() -> None:
    for entry in REGISTRY.values():
        size = size_of(entry.name)
        assert size is not None
        assert size.parameters == entry.parameters


def test_weights_and_cache_are_a_real_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.folder(tmp_path / "model")
    made = AutoModelForCausalLM.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    count = sum(each.numel() for each in made.parameters())
    size = ModelSize(count, config.num_hidden_layers, config.num_key_value_heads, config.head_dim)
    monkeypatch.setitem(KNOWN, str(folder), size)
    found = estimate("target", str(folder), itemsize=4, cached=4, tokens=10)
    assert found.weight_bytes == weight_bytes(folder, torch.float32)
    cache = made(input_ids=torch.zeros((1, 10), dtype=torch.int64), use_cache=True).past_key_values
    rows = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert found.cache_bytes == rows
    assert not found.needs_hub


def test_drafts_share_copy_or_stand_alone() -> None:
    target = estimate("target", "smollm2-135m", itemsize=2, cached=2, tokens=PROMPT)
    half = estimate_draft(parse_draft("layers:15"), target, itemsize=2, cached=2, tokens=PROMPT)
    assert half is not None
    assert (half.weight_bytes, half.cache_bytes) == (0, (target.cache_bytes or 0) // 2)
    rounded = estimate_draft(parse_draft("self:int4"), target, itemsize=2, cached=2, tokens=PROMPT)
    assert rounded is not None
    assert 0 < (rounded.weight_bytes or 0) < (target.weight_bytes or 0) / 2
    assert estimate_draft(parse_draft("ngram"), target, itemsize=2, cached=2, tokens=PROMPT) is None
    other = estimate_draft(parse_draft("JackFram/llama-68m"), target, itemsize=2, cached=2, tokens=PROMPT)
    assert other is not None
    assert other.needs_hub
    sizes = [(each.weight_bytes or 0) + (each.cache_bytes or 0) for each in (target, half, other)]
    assert total_bytes([target, half, other]) == sum(sizes)


def test_a_shipped_head_is_known_by_its_files() -> None:
    target = estimate("target", "smollm2-135m", itemsize=4, cached=4, tokens=100)
    for name in ("smollm2-head", "ngram+smollm2-head"):
        head = estimate_draft(parse_draft(name), target, itemsize=4, cached=4, tokens=100)
        assert head is not None
        assert (head.name, head.needs_hub) == ("smollm2-head", False)
        assert head.weight_bytes == head_size(shipped_drafts()["smollm2-head"], 4, on_cpu=True)[1]
        assert head.cache_bytes == 2 * 3 * 64 * 4 * 100  # one layer's keys and values, of 3 heads of 64


def test_a_name_may_say_how_large_a_model_is_and_may_not() -> None:
    guessed = size_of("someone/Great-13B-Chat-GPTQ")
    assert guessed is not None
    assert (guessed.parameters, guessed.bits, guessed.guessed) == (13_000_000_000, 4, True)
    assert size_of("someone/great-model") is None
    unknown = estimate("target", "someone/great-model", itemsize=2, cached=2, tokens=1)
    assert (unknown.weight_bytes, unknown.needs_hub) == (None, True)
    assert total_bytes([unknown]) is None


def test_bitsandbytes_weights_are_counted() -> None:
    sizes = [
        estimate("target", "smollm2-135m", itemsize=2, cached=2, tokens=10, quantize=kind).weight_bytes or 0
        for kind in ("bnb-4bit", "bnb-8bit", "none")
    ]
    assert 0 < sizes[0] < sizes[1] < sizes[2]


def test_a_cache_on_the_cpu_is_planned_in_float32():
    assert [cache_itemsize(size, on_cpu=True) for size in (2, 4, 8)] == [4, 4, 8]
    assert cache_itemsize(2, on_cpu=False) == 2
    two, four = (
        estimate("target", "smollm2-135m", itemsize=2, cached=cached, tokens=100) for cached in (2, 4)
    )
    assert (two.weight_bytes, 2 * (two.cache_bytes or 0)) == (four.weight_bytes, four.cache_bytes)
