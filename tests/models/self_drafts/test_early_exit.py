import copy
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear
from specdec_cli.models.quantization.quantize import lower_precision
from specdec_cli.models.self_drafts.early_exit import first_layers

PER_LAYER = {
    "vocab_size_per_layer_input": len(tiny.WORDS),
    "hidden_size_per_layer_input": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": 4,
    "num_kv_shared_layers": 0,
}
GEMMA_3N = {
    **PER_LAYER,
    "laurel_rank": 4,
    "altup_num_inputs": 2,
    "activation_sparsity_pattern": [0.5, 0.0] * 2,
}
ALL_CHOSEN = {"num_local_experts": 4, "num_experts_per_tok": 4, "pad_token_id": 0}  # near ties choose alike
VARIANTS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen2, mixed windows": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    "Qwen3": {},
    "Mistral": {},
    "Gemma": {},
    "Gemma2": {},
    "Gemma3Text": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "Gemma3nText": GEMMA_3N,
    "Gemma3nText, shared keys": {**GEMMA_3N, "num_kv_shared_layers": 2},
    "Gemma4Text": PER_LAYER,
    "Gemma4Text, shared keys": {**PER_LAYER, "num_kv_shared_layers": 2, "use_double_wide_mlp": True},
    "GPT2": {},
    "GPTNeo": {"num_heads": 4, "attention_types": [[["global", "local"], 2]], "window_size": 4},
    "GPTJ": {"rotary_dim": 4},
    "GPTNeoX": {},
    "CodeGen": {"rotary_dim": 4},
    "Falcon": {"head_dim": ..., "new_decoder_architecture": True, "num_kv_heads": 2},
    "OPT": {"ffn_dim": 48, "word_embed_proj_dim": 32, "pad_token_id": 0},
    "XGLM": {"attention_heads": 4, "ffn_dim": 48, "pad_token_id": 0},
    "SmolLM3": {"no_rope_layers": [1, 1, 1, 0], "pad_token_id": 0},
    "GptOss": {**ALL_CHOSEN, "sliding_window": 4},
    "Mixtral": ALL_CHOSEN,
    "ModernBertDecoder": {"head_dim": ..., "local_attention": 4, "pad_token_id": 0},
}
ARCHITECTURES = tuple(VARIANTS)
TOKENS = torch.tensor([[5, 9, 30, 7, 7, 100, 42]])


def loaded(architecture):
    changes = {"num_hidden_layers": 4, "initializer_range": 0.2, **VARIANTS[architecture]}
    model = tiny.model(architecture.partition(",")[0], **changes).requires_grad_(False)
    return LoadedModel(
        name="tiny",
        model=model,
        tokenizer=Tokenizer(tiny.tokenizer()),
        context=128,
        stop_tokens=frozenset({1}),
        dtype=torch.float32,
        device=torch.device("cpu"),
        parameters=count_parameters(model),
        source="memory",
    )


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def truncated(model, count):
    """transformers' own model of `count` layers, with the first part of each weight that it has."""
    config = copy.deepcopy(model.config)
    sizes = config.to_dict().get("per_layer_config") or {}
    config.per_layer_config = None
    shared = getattr(config, "num_kv_shared_layers", 0)
    for name in ("layer_types", "activation_sparsity_pattern", "no_rope_layers", "intermediate_size"):
        values = getattr(config, name, None)
        if isinstance(values, list):
            setattr(config, name, values[:count])
    if shared:
        config.num_kv_shared_layers = max(0, count - (config.num_hidden_layers - shared))
    config.num_hidden_layers = count
    config.per_layer_config = {number: each for number, each in sizes.items() if int(number) < count}
    fresh = type(model)._from_config(config).eval()
    own = model.state_dict()
    first = {name: own[name][tuple(map(slice, weight.shape))] for name, weight in fresh.state_dict().items()}
    fresh.load_state_dict(first)
    return fresh


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("count", [1, 3])
def test_the_cut_model_is_a_fresh_one_with_the_same_weights(architecture, count):
    whole = loaded(architecture)
    cut = first_layers(whole, count)
    torch.testing.assert_close(logits(cut.model), logits(truncated(whole.model, count)), atol=1e-5, rtol=1e-4)
    assert cut.model.config.num_hidden_layers == count
    assert cut.name == f"layers:{count}"
    assert cut.parameters < whole.parameters


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_original_stays_as_it_was(architecture):
    whole = loaded(architecture)
    before, config = logits(whole.model), whole.model.config.to_dict()
    first_layers(whole, 2)
    assert torch.equal(logits(whole.model), before)
    assert whole.model.config.to_dict() == config


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_of_the_cut_model_is_the_originals_own(architecture):
    whole = loaded(architecture)
    own = {name: weight.data_ptr() for name, weight in whole.model.named_parameters()}
    for name, weight in first_layers(whole, 2).model.named_parameters():
        assert weight.data_ptr() == own[name]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_cut_configuration_says_what_the_cut_model_is(architecture):
    """One written to a folder and read again is the same model, lists of each layer and all."""
    cut = first_layers(loaded(architecture), 2).model
    config = type(cut.config).from_dict(cut.config.to_dict())
    fresh = type(cut)._from_config(config).eval()
    assert {name: weight.shape for name, weight in fresh.state_dict().items()} == {
        name: weight.shape for name, weight in cut.state_dict().items()
    }


@pytest.mark.parametrize("architecture", ["Gemma3nText", "Gemma4Text"])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_layers_of_a_rounded_model_get_their_part_of_its_input(architecture, kind):
    whole = loaded(architecture)
    lower_precision(whole.model, kind)
    dense = loaded(architecture).model
    for name, module in whole.model.named_modules():
        if isinstance(module, Int8Linear | Int4Linear):
            dense.get_submodule(name).weight.data = module.dense()
    cut = first_layers(whole, 2).model
    expected = logits(truncated(dense, 2))
    error = (logits(cut) - expected).abs().max() / expected.abs().max()
    assert error < 0.1  # activations are rounded to bfloat16 in the products; other inputs give other texts


def test_the_cut_model_generates_with_a_cache_of_its_own_size():
    cut = first_layers(loaded("Gemma2"), 3).model
    with torch.no_grad():
        cache = cut(TOKENS, use_cache=True).past_key_values
    assert len(cache.layers) == 3


def test_modules_that_shared_a_configuration_still_do():
    cut = first_layers(loaded("Llama"), 2).model
    assert cut.config is cut.model.config


@pytest.mark.parametrize("count", [-1, 0, 4, 5])
def test_a_draft_of_no_layers_or_of_all_is_refused(count):
    with pytest.raises(InputError, match="has 4 layers") as caught:
        first_layers(loaded("Llama"), count)
    assert "from 1 to 3" in caught.value.hint


def test_a_model_spread_over_devices_lends_no_layers():
    whole = loaded("Llama")
    whole.model.forward = whole.model.forward  # as accelerate's hooks do
    with pytest.raises(MismatchError, match="spread over devices"):
        first_layers(whole, 2)
