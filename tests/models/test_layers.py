import copy

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.layers import first_layers
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.tokenizer import Tokenizer

ARCHITECTURES = ("Llama", "Qwen2", "Qwen3", "Mistral", "Gemma", "Gemma2", "Gemma3Text", "GPT2")
TOKENS = torch.tensor([[5, 9, 30, 7, 7, 100, 42]])


def loaded(architecture):
    model = tiny.model(architecture, num_hidden_layers=4).requires_grad_(False)
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
    """A fresh model of `count` layers that loads what it has a place for."""
    config = copy.deepcopy(model.config)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]
    config.num_hidden_layers = count
    fresh = type(model)(config).eval()
    result = fresh.load_state_dict(model.state_dict(), strict=False)
    assert not result.missing_keys
    return fresh


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("count", [1, 3])
def test_the_cut_model_is_a_fresh_one_with_the_same_weights(architecture, count):
    whole = loaded(architecture)
    cut = first_layers(whole, count)
    assert torch.equal(logits(cut.model), logits(truncated(whole.model, count)))
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
