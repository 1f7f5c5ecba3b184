"""The fused pass computes what transformers' own module does, on trees, for each architecture it takes."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    COMMON,
    CONTEXT,
    HEADS,
    WINDOWED,
    random_model,
    random_tokens,
    random_tree,
)
from transformers import LlamaConfig, Qwen3Config

from specdec_cli.models.forward import packed_linear
from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.fused_weights import fits, kernel_shape
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.kernels import Weigh, eager_kernels
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.hf.architectures import ARCHITECTURES as ROWS
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.self_drafts.early_exit import first_layers
from specdec_cli.tree import TokenTree

LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}  # fmt: skip
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 1024}
FUSABLE = [row.name for row in ROWS.values() if row.fusable]
FAMILY = {
    **{name: ARCHITECTURES[name] for name in FUSABLE},
    "mistral, window of 8": WINDOWED["mistral"],
    "llama, biases": lambda: LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True),
    "llama, tied embeddings": lambda: LlamaConfig(**COMMON, tie_word_embeddings=True),
    "llama, one key head": lambda: LlamaConfig(**{**COMMON, "num_key_value_heads": 1}),
    "llama, llama3 rope": lambda: LlamaConfig(**COMMON, rope_parameters=LLAMA3_ROPE),
    "qwen3, yarn rope": lambda: Qwen3Config(**HEADS, rope_parameters=YARN_ROPE),
}  # fmt: skip
NOT_FAMILY = {
    "phi3": ARCHITECTURES["phi3"],
    "gpt2": ARCHITECTURES["gpt2"],
    "gemma2": WINDOWED["gemma2"],
    "gemma3": WINDOWED["gemma3"],
    "llama, dynamic rope": lambda: LlamaConfig(
        **COMMON, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    ),
}


@pytest.fixture(params=FAMILY)
def config(request):
    return FAMILY[request.param]()


def largest_difference(model, forward, seed=0):
    """Over trees of several sizes on a text that grows by random paths through them."""
    chance = random.Random(seed)
    runners = Runner(HFForward(model), CONTEXT), Runner(forward, CONTEXT)
    for runner in runners:
        runner.begin(random_tokens(30, seed))
    worst = 0.0
    for size in (0, 1, 5, 16, 40):
        tree = random_tree(size, chance)
        expected, found = (runner.score(tree) for runner in runners)
        worst = max(worst, float((expected.double() - found.double()).abs().max()))
        path = sorted({node for node in range(size) if tree.parents[node] == node - 1 < 3})[:2]
        for runner in runners:
            runner.commit(path, [*(tree.tokens[node] for node in path), 7])
    return worst


def test_it_equals_the_module_in_double_precision(config):
    model = random_model(config)
    assert fits(model)
    # The module normalises in single precision whatever the weights are in, this pass in double.
    assert largest_difference(model, FusedForward(model)) < 1e-4


def test_it_equals_the_module_in_single_precision_with_packed_weights(config):
    model = random_model(config).float()
    assert packed_linear.packing(torch.float32) is not None
    assert largest_difference(model, FusedForward(model)) < 1e-4


def test_it_equals_the_module_without_packing(config, monkeypatch):
    model = random_model(config).float()
    monkeypatch.setattr(packed_linear, "packing", lambda dtype: None)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert largest_difference(model, FusedForward(model)) < 1e-4
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def written_out(shape):
    """The kernels that `--compile` makes native code of, here as they stand."""
    weigh = Weigh()
    return replace(
        eager_kernels(shape), weigh=lambda scores: weigh(scores.all, scores.mask), whole_masks=True
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_the_module_with_its_kernels_written_out(config, dtype):
    model = random_model(config).to(dtype)
    assert largest_difference(model, FusedForward(model, written_out(kernel_shape(model)))) < 1e-4


def test_a_single_token_is_text_enough_for_written_out_kernels():
    model = random_model(ARCHITECTURES["llama"]())
    rows = []
    for kernels in (None, written_out(kernel_shape(model))):
        runner = Runner(FusedForward(model, kernels), CONTEXT)
        runner.begin([3])
        rows.append(runner.score(TokenTree.chain([5, 6])))
    torch.testing.assert_close(*rows, atol=1e-9, rtol=0)


def test_unpacked_weights_are_held_once(monkeypatch):
    monkeypatch.setattr(packed_linear, "packing", lambda dtype: None)
    model = random_model(ARCHITECTURES["llama"]())
    FusedForward(model)
    attention = model.model.layers[0].self_attn
    storages = {
        part.weight.untyped_storage().data_ptr()
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    }
    assert len(storages) == 1


def test_a_text_longer_than_a_chunk_is_read_alike():
    model = random_model(ARCHITECTURES["llama"]()).float()
    text = random_tokens(1100, 3)
    logits = []
    for forward in (HFForward(model), FusedForward(model)):
        runner = Runner(forward, CONTEXT)
        runner.begin(text)
        logits.append(runner.root())
    torch.testing.assert_close(*logits, atol=1e-4, rtol=0)


def test_layers_borrowed_as_a_draft_share_the_packed_weights(loaded_llama):
    whole = FusedForward(loaded_llama.model)
    part = FusedForward(first_layers(loaded_llama, 1).model)
    (first, *_), (borrowed, *_) = whole._weights.layers, part._weights.layers
    assert borrowed is first
    assert part._weights.head is whole._weights.head


@pytest.fixture
def loaded_llama():
    from specdec_cli.models.loader import LoadedModel

    model = random_model(ARCHITECTURES["llama"]())
    no_tokenizer: Any = None
    dtype, device = torch.float64, torch.device("cpu")
    return LoadedModel("tiny", model, no_tokenizer, CONTEXT, frozenset(), dtype, device, 1, "memory")


@pytest.mark.parametrize("name", NOT_FAMILY)
def test_other_architectures_keep_the_module(name):
    model = random_model(NOT_FAMILY[name]())
    forward: Forward = new_forward(model)
    assert isinstance(forward, HFForward)


def test_a_model_with_a_replaced_projection_keeps_the_module():
    class Other(torch.nn.Linear):
        pass

    model = random_model(ARCHITECTURES["llama"]())
    model.model.layers[1].mlp.down_proj = Other(48, 32, bias=False)
    assert isinstance(new_forward(model), HFForward)


def test_a_model_spread_over_devices_keeps_the_module():
    model = random_model(ARCHITECTURES["llama"]())
    model.model.layers[1].to("meta")
    assert not fits(model)


@pytest.mark.parametrize("name", FUSABLE)
def test_it_rounds_no_more_than_the_module_in_bfloat16(name):
    exact, rounded = random_model(ARCHITECTURES[name]()), random_model(ARCHITECTURES[name]()).bfloat16()
    exact.load_state_dict(rounded.state_dict())
    text, tree = random_tokens(20, 5), random_tree(30, random.Random(6))
    logits = []
    for forward in (HFForward(exact), HFForward(rounded), FusedForward(rounded)):
        runner = Runner(forward, CONTEXT)
        runner.begin(text)
        logits.append(runner.score(tree).double())
    module, own = ((each - logits[0]).square().mean().sqrt() for each in logits[1:])
    assert own < 1.2 * module


@pytest.mark.parametrize("field", ["norm_offset", "embedding_scaled"])
def test_a_wrong_field_in_the_row_of_an_architecture_is_seen(field, monkeypatch):
    wrong: dict[str, Any] = {field: not getattr(ROWS["gemma"], field)}
    monkeypatch.setitem(ROWS, "gemma", replace(ROWS["gemma"], **wrong))
    model = random_model(ARCHITECTURES["gemma"]())
    assert largest_difference(model, FusedForward(model)) > 1e-2
