"""A quantized model is the one with the weights that it stands for, whatever modules its architecture has."""

import copy

import pytest
import tiny_checkpoints as tiny
import torch
from models_of_products import VARIANTS, logits, model
from torch import nn

from specdec_cli.errors import MismatchError, SpecdecError
from specdec_cli.models.loader import count_parameters
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear
from specdec_cli.models.quantization.matrices import matrix_of, put_matrix
from specdec_cli.models.quantization.quantize import (
    kept_share,
    low_precision_copy,
    lower_precision,
    remarks_on,
)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_its_logits_are_those_of_the_weights_it_stands_for(variant, kind):
    original = model(variant)
    before, embedding = logits(original), original.get_input_embeddings().weight.clone()
    low, dense = low_precision_copy(original, kind), copy.deepcopy(original)
    for name, module in low.named_modules():
        if isinstance(module, Int8Linear | Int4Linear):
            same = dense.get_submodule(name)
            put_matrix(same, module.dense())
            same.register_forward_pre_hook(lambda _, given: (given[0].bfloat16().float(),))
            same.register_forward_hook(lambda *seen: seen[2].bfloat16().float())
    expected = logits(dense)
    error = (logits(low) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 0.03  # roundings to bfloat16 that fall the other way
    assert type(low.get_output_embeddings()) is Int8Linear
    assert torch.equal(low.get_input_embeddings().weight, embedding)
    assert torch.equal(logits(original), before)  # the original keeps its weights
    assert count_parameters(low) >= count_parameters(original)  # a tied head is a matrix of its own then


def test_how_much_of_a_model_with_experts_is_rounded_is_said():
    mixture, plain = low_precision_copy(model("Mixtral"), "int8"), low_precision_copy(model("Llama"), "int8")
    experts = sum(weight.numel() for weight in mixture.parameters() if weight.dim() == 3)
    whole = experts + sum(
        each.in_features * each.out_features for each in mixture.modules() if isinstance(each, Int8Linear)
    )
    assert kept_share(mixture) == pytest.approx(experts / whole, abs=0.01)
    (said,) = remarks_on(mixture, "tiny", "int8")
    assert f"{1 - kept_share(mixture):.0%} of the weights of tiny are held in int8; its experts" in said
    assert remarks_on(plain, "tiny", "int8") == ()


def test_a_model_whose_products_do_not_fit_is_refused():
    with pytest.raises(MismatchError, match="No layer of this gpt2 model can be held in int4"):
        lower_precision(tiny.model("GPT2", hidden_size=24, n_inner=48), "int4")


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_model_that_is_quantised_already_is_refused_as_that(kind):
    made = model("Llama")
    lower_precision(made, "int8")
    with pytest.raises(MismatchError, match="are quantised already"):
        low_precision_copy(made, kind)


def test_weights_that_are_no_numbers_are_refused():
    made = model("GPT2")
    made.transformer.h[0].attn.c_attn.weight[3, 5] = float("nan")
    for kind in ("int8", "int4"):
        with pytest.raises(SpecdecError, match="no numbers"):
            low_precision_copy(made, kind)


def test_the_matrix_of_a_module_is_what_it_multiplies_by():
    x = torch.randn(3, 64)
    names = {"GPT2": "transformer.h.0.mlp.c_fc", "Falcon": "transformer.h.0.mlp.dense_h_to_4h"}
    for variant, name in names.items():
        module = model(variant).get_submodule(name)
        bias = 0 if module.bias is None else module.bias
        before = matrix_of(module)
        assert before is not None
        torch.testing.assert_close(module(x), x @ before.T + bias)
        put_matrix(module, before * 2)
        after = matrix_of(module)
        assert after is not None
        torch.testing.assert_close(module(x) - bias, 2 * (x @ after.T / 2))
    assert matrix_of(nn.Embedding(4, 4)) is None
    assert matrix_of(Int8Linear.quantized(nn.Linear(4, 4))) is None
