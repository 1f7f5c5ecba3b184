"""Noise on a model's matrices is as strong as was asked for, and the original keeps its weights."""

import pytest
import torch
from models_of_products import VARIANTS, loaded, logits, model

from specdec_cli.errors import SpecdecError
from specdec_cli.models.hf.decoder_layers import decoder_of
from specdec_cli.models.quantization.matrices import matrix_of
from specdec_cli.models.self_drafts.noisy import noisy_copy


@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_is_on_every_matrix_and_the_original_stays(variant):
    original = model(variant)
    before = logits(original)
    noisy = noisy_copy(loaded(original), "self:noise:0.01", 0.01).model
    assert torch.equal(logits(original), before)
    assert not torch.equal(logits(noisy), before)
    touched = {id(weight) for weight in original.parameters() if weight.dim() == 3}
    touched |= {id(each.weight) for each in decoder_of(original).modules() if matrix_of(each) is not None}
    for name, weight in original.named_parameters():
        assert torch.equal(noisy.get_parameter(name), weight) == (id(weight) not in touched)


def test_noise_has_the_level_that_was_asked_for_in_every_matrix():
    original = model("Mixtral")
    noisy = noisy_copy(loaded(original), "self:noise:0.1", 0.1).model
    for name, weight in noisy.get_decoder().named_parameters():
        mine = original.get_decoder().get_parameter(name)
        for new, old in zip(weight, mine, strict=True) if weight.dim() == 3 else ():
            assert abs(float((new - old).std() / old.std()) - 0.1) < 0.01


def test_weights_that_are_no_numbers_are_refused():
    made = model("GPT2")
    made.transformer.h[0].attn.c_attn.weight[3, 5] = float("nan")
    with pytest.raises(SpecdecError, match="no numbers"):
        noisy_copy(loaded(made), "self:noise:0.01", 0.01)
