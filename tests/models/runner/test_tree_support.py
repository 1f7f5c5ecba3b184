"""Models that cannot be driven are refused with the reason; ordinary ones pass and score trees exactly."""

import random
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
import transformers
from random_models import (
    ARCHITECTURES,
    COMMON,
    CONTEXT,
    expected_logits,
    random_model,
    random_tokens,
    random_tree,
)

from specdec_cli.errors import MismatchError
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.hf.architectures import ARCHITECTURES as ROWS
from specdec_cli.models.hf.architectures import architecture_of
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.quantization.quantize import lower_precision
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.runner.tree_support import (
    _obstacle_further_on,
    _scores_trees,
    require_tree_support,
)

ORDINARY = (
    "Arcee", "Cohere", "Cohere2", "Falcon", "GPTBigCode", "GPTNeoX", "Glm4", "Granite", "Nemotron", "OPT",
    "Olmo2", "Phi", "SmolLM3", "StableLm", "Starcoder2",
)  # fmt: skip
EXPERTS = ("GptOss", "GraniteMoe", "Mixtral", "Qwen3Moe")  # in float32: the kernel of experts knows no more
STATEFUL: dict[str, dict[str, Any]] = {
    "Mamba": {},
    "FalconMamba": {},
    "RecurrentGemma": {"num_key_value_heads": 1},
    "Jamba": {},
    "Qwen3Next": {"num_experts": 4, "layer_types": ["linear_attention", "full_attention"]},
    "Lfm2": {"layer_types": ["conv", "full_attention"]},
    "Llama4Text": {"layer_types": ["chunked_attention", "full_attention"]},
}


def config(architecture, **changes):
    return getattr(transformers, f"{architecture}Config")(**{**COMMON, **changes})


def loaded(model):
    return LoadedModel(
        name="tiny",
        model=model,
        tokenizer=Tokenizer(tiny.tokenizer()),
        context=CONTEXT,
        stop_tokens=frozenset(),
        dtype=model.dtype,
        device=torch.device("cpu"),
        parameters=count_parameters(model),
        source="memory",
    )


def is_accepted(model):
    try:
        require_tree_support(loaded(model))
    except MismatchError:
        return False
    return True


def tree_error(model):
    """How far a tree's logits are from those of each of its paths alone, over the largest of these."""
    chance, text, errors = random.Random(1), random_tokens(20, 2), []
    for size in (1, 7, 24):
        tree = random_tree(size, chance)
        runner = Runner(HFForward(model), CONTEXT)
        runner.begin(text)
        expected = expected_logits(model, text, tree)
        found = runner.score(tree)
        assert found.shape == expected.shape
        errors.append((found - expected).abs().max() / expected.abs().max())
    return float(torch.stack(errors).max())  # NaN where any is


@pytest.mark.parametrize("architecture", STATEFUL)
def test_layers_with_a_running_state_are_refused(architecture):
    model = random_model(config(architecture, **STATEFUL[architecture]))
    with pytest.raises(
        MismatchError,
        match=r"tiny cannot be used: .* guesses cannot be removed",
    ):
        require_tree_support(loaded(model))


def test_positions_that_cannot_be_set_are_refused():
    with pytest.raises(MismatchError, match="its positions cannot be set"):
        require_tree_support(loaded(random_model(config("Bloom"))))


@pytest.mark.parametrize("architecture", ORDINARY)
def test_an_ordinary_architecture_passes_and_scores_trees_exactly(architecture):
    model = random_model(config(architecture))
    assert not architecture_of(model.config).tree_exact
    assert is_accepted(model)
    assert tree_error(model) <= 1e-13


@pytest.mark.parametrize("architecture", EXPERTS)
def test_a_mixture_of_experts_passes_and_scores_trees_to_rounding(architecture):
    model = random_model(
        config(architecture, num_local_experts=4, num_experts=4, num_experts_per_tok=2)
    ).float()
    assert is_accepted(model)
    assert tree_error(model) <= 1e-4


@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16, torch.float16])
def test_the_trial_allows_for_the_rounding_of_the_format(number_format):
    assert is_accepted(random_model(config("StableLm")).to(number_format))


@pytest.mark.parametrize(("kind", "allowed"), [("int8", True), ("int4", True), (None, False)])
def test_the_trial_allows_for_the_rounding_of_products_in_few_bits(kind, allowed):
    model = random_model(config("StableLm", hidden_size=64, intermediate_size=64)).float()
    if kind:
        lower_precision(model, kind)

    def rounded(module, args, options, output):
        """Half a step of bfloat16 between the logits of a tree, which has a mask, and of a path alone."""
        if options.get("attention_mask") is not None:
            output.logits = output.logits * (1 + torch.finfo(torch.bfloat16).eps / 2)
        return output

    assert _scores_trees(model)
    model.register_forward_hook(rounded, with_kwargs=True)
    assert _scores_trees(model) is allowed


def test_a_proven_architecture_is_not_tried_out(monkeypatch):
    model = random_model(ARCHITECTURES["llama"]())
    monkeypatch.setattr("specdec_cli.models.runner.tree_support.Runner", None)
    assert is_accepted(model)


class Deaf(torch.nn.Module):
    """A language model that takes a mask and does not look at it."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.config, self.dtype, self.device = inner, inner.config, inner.dtype, inner.device
        self.config.model_type = "deaf"

    def get_output_embeddings(self):
        return self.inner.get_output_embeddings()

    def forward(self, input_ids, position_ids=None, attention_mask=None, **others):
        return self.inner(input_ids=input_ids, position_ids=position_ids, **others)


def test_a_model_that_ignores_the_mask_is_found_out():
    model = random_model(ARCHITECTURES["llama"]())
    with pytest.raises(MismatchError, match="does not score the branches of a tree apart"):
        require_tree_support(loaded(Deaf(model)))


def test_a_model_that_breaks_on_the_mask_is_refused_and_not_a_crash():
    model = random_model(ARCHITECTURES["llama"]())
    model.config.model_type = "broken"
    model.model.layers[0].self_attn.q_proj = torch.nn.Linear(3, 3, dtype=torch.float64)
    with pytest.raises(MismatchError, match="does not score the branches of a tree apart"):
        require_tree_support(loaded(model))


def gpt_neo(**changes):
    sizes = {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 4, **changes}
    return config("GPTNeo", **sizes)


def test_local_layers_that_count_rows_see_by_position_in_trees():
    model = random_model(gpt_neo(window_size=6)).float()
    assert is_accepted(model)
    assert tree_error(model) <= 1e-4


def test_windows_longer_than_the_trial_on_the_model_itself_are_met_by_the_one_on_a_small_model(monkeypatch):
    monkeypatch.setattr("specdec_cli.models.forward.hf.row_counting_layers", lambda model: [])
    with pytest.raises(MismatchError, match="in texts longer than its windows"):
        require_tree_support(loaded(random_model(gpt_neo(window_size=256))))


@pytest.mark.parametrize("architecture", ["Starcoder2", "Cohere2", "Exaone4", "Olmo3", "GptOss"])
def test_windowed_architectures_score_trees_exactly_past_their_windows(architecture):
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2} if architecture == "GptOss" else {}
    model = random_model(config(architecture, sliding_window=5, **experts)).float()
    assert is_accepted(model)
    assert tree_error(model) <= 1e-4


def test_a_model_with_windows_that_has_no_small_copy_is_refused(monkeypatch):
    monkeypatch.setattr("specdec_cli.models.runner.tree_support.miniature", lambda model: 1 / 0)
    assert is_accepted(random_model(config("Olmo2")))
    with pytest.raises(MismatchError, match="how far back its layers look cannot be tried out"):
        require_tree_support(loaded(random_model(config("Starcoder2", sliding_window=64))))


@pytest.mark.parametrize("kind", [row.name for row in ROWS.values() if row.tree_exact])
def test_what_is_never_tried_out_passes_the_trial_on_a_small_model(kind):
    made = transformers.AutoConfig.for_model(kind)
    small = random_model(type(made)(**{name: COMMON[name] for name in COMMON if hasattr(made, name)}))
    assert _obstacle_further_on(small) is None
