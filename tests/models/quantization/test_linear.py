"""8- and 4-bit products are those of the weights that they stand for, which are near the originals."""

import gc
import random
import weakref

import pytest
import torch
from random_models import ARCHITECTURES, COMMON, random_model, random_tokens, random_tree
from torch import nn
from transformers import LlamaConfig

from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.packed_linear import fused
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear, SideBySide
from specdec_cli.models.quantization.quantize import lower_precision
from specdec_cli.models.runner.model_runner import Runner

KINDS = [Int8Linear, Int4Linear]


def some_linear(inputs, outputs, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 8, 33])
def test_a_product_is_that_of_the_weights_it_stands_for(kind, bias, rows):
    linear = some_linear(96, 80, bias)
    low = kind.quantized(linear)
    x = torch.randn(rows, 96).bfloat16().float()
    expected = x @ low.dense().T + (linear.bias if bias else 0)
    torch.testing.assert_close(low(x), expected, atol=0.02, rtol=0.02)


def test_8_bits_err_by_half_a_step_of_the_output_at_most():
    linear = some_linear(96, 80)
    step = linear.weight.abs().amax(1, keepdim=True) / 127
    error = (Int8Linear.quantized(linear).dense() - linear.weight).abs()
    assert (error <= step * 0.76).all()  # half a step, and the scale's own rounding at the far end


def test_4_bits_err_by_half_a_step_of_the_group_at_most():
    linear = some_linear(96, 80)
    groups = linear.weight.unflatten(1, (-1, 32))
    step = (groups.amax(-1) - groups.amin(-1)).repeat_interleave(32, 1) / 15
    error = (Int4Linear.quantized(linear).dense() - linear.weight).abs()
    assert (error <= step * 0.6).all()


def test_4_bit_blocks_of_32_are_kept_as_they_are():
    """What GGUF's Q4 formats hold needs no second rounding."""
    whole = torch.randint(0, 16, (64, 3, 32)).float()
    whole[..., 0], whole[..., 1] = 0, 15
    weight = (whole * 0.25 - 1.5).flatten(1)
    linear = some_linear(96, 64, bias=False)
    linear.weight.copy_(weight)
    torch.testing.assert_close(Int4Linear.quantized(linear).dense(), weight, atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outputs", [(64, 128, 64), (64, 48, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_joined_products_lie_side_by_side(kind, outputs, bias):
    parts = [kind.quantized(some_linear(64, each, bias, seed)) for seed, each in enumerate(outputs)]
    x = torch.randn(5, 64)
    expected = torch.cat([part(x) for part in parts], -1)
    torch.testing.assert_close(fused(parts)(x), expected, atol=1e-6, rtol=0)


def test_4_bit_products_of_whole_blocks_become_one():
    parts = [Int4Linear.quantized(some_linear(64, 64, seed=seed)) for seed in (0, 1)]
    assert isinstance(Int4Linear.joined(parts), Int4Linear)
    assert isinstance(Int4Linear.joined([*parts, Int4Linear.quantized(some_linear(64, 48))]), SideBySide)


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "gemma"])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_model_scores_trees_as_with_the_weights_it_stands_for(name, kind):
    model, dense = (random_model(ARCHITECTURES[name]()).float() for _ in range(2))
    lower_precision(model, kind)
    for path, low in model.named_modules():
        if isinstance(low, Int8Linear | Int4Linear):
            same = dense.get_submodule(path)
            same.weight = nn.Parameter(low.dense(), requires_grad=False)  # the head may be tied
            same.register_forward_pre_hook(lambda _, given: (given[0].bfloat16().float(),))
            same.register_forward_hook(lambda *seen: seen[2].bfloat16().float())
    tree, text = random_tree(12, random.Random(0)), random_tokens(20, 1)
    logits = []
    for forward in (HFForward(dense), new_forward(model)):
        runner = Runner(forward, 64)
        runner.begin(text)
        logits.append(runner.score(tree))
    error = (logits[0] - logits[1]).square().mean().sqrt() / logits[0].square().mean().sqrt()
    assert error < 0.01  # roundings to bfloat16 that fall the other way


def test_a_low_precision_llama_keeps_the_fused_pass():
    model = random_model(ARCHITECTURES["llama"]()).float()
    lower_precision(model, "int8")
    assert isinstance(new_forward(model), FusedForward)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_head_takes_8_bits_and_the_embedding_stays(kind):
    model = random_model(LlamaConfig(**COMMON, tie_word_embeddings=True)).float()
    before = model.model.embed_tokens.weight.clone()
    lower_precision(model, kind)
    assert type(model.lm_head) is Int8Linear
    assert torch.equal(model.model.embed_tokens.weight, before)


def test_a_rounded_model_is_freed_with_its_last_use():
    model = random_model(ARCHITECTURES["llama"]()).float()
    lower_precision(model, "int8")
    FusedForward(model)
    seen = weakref.ref(model.lm_head)
    del model
    gc.collect()
    assert seen() is None
