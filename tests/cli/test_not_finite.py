"""Models and settings whose numbers overflow end every command with a sentence, never with text."""

import math

import pytest
import torch
from tiny_checkpoints import ASCII, folder
from transformers import AutoModelForCausalLM

from specdec_cli.distillation import training
from specdec_cli.errors import NotFiniteError
from specdec_cli.models.eagle.checkpoint import require_finite_weights

SAMPLED = ("--temperature", "1", "--max-tokens", "6", "--raw", "--dtype", "float32", "--ignore-eos")
LEGEND = "+ accepted  - rejected  = what came instead  t, d: target's, draft's probability"
METHODS = ("sps", "specexec", "specinfer", "rrsw", "sequoia", "spechub", "kseq", "topk")


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A target, a draft, and a maker of copies of which one weight is another number."""
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "target", words=ASCII, initializer_range=0.3, max_position_embeddings=1024)
    folder(
        tmp_path / "draft",
        words=ASCII,
        initializer_range=0.3,
        max_position_embeddings=1024,
        num_hidden_layers=1,
    )

    def damaged(name, number, weight="model.norm.weight"):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        with torch.no_grad():
            model.state_dict()[weight].view(-1)[0] = number
        folder(tmp_path / "damaged", words=ASCII)
        model.save_pretrained(tmp_path / "damaged")
        return "damaged"

    return damaged


def refused(outcome, *words):
    assert outcome.code == 1, outcome.err
    assert outcome.out.strip() in ("", LEGEND)
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err
    return True


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("method", ["autoregressive", "ngram", *METHODS])
def test_a_target_whose_logits_are_no_numbers_writes_nothing(specdec, models, method, number):
    target = models("target", number)
    draft = () if method in ("autoregressive", "ngram") else ("--draft", "draft")
    outcome = specdec("generate", "--target", target, *draft, "--method", method, *SAMPLED, "-p", "the cat")
    assert refused(outcome, "damaged in float32", "not finite numbers")


@pytest.mark.parametrize("verify", ["token", "block"])
@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
def test_a_chain_from_a_broken_draft_is_refused(specdec, models, verify, number):
    draft = models("draft", number)
    options = ("--method", "sps", "--verify", verify, *SAMPLED)
    outcome = specdec("generate", "--target", "target", "--draft", draft, *options, "-p", "the cat")
    assert refused(outcome, "damaged in float32", "not finite numbers")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", ["0", "1"])
def test_trees_from_a_broken_draft_are_refused(specdec, models, method, temperature):
    draft = models("draft", math.nan)
    options = ("--method", method, *SAMPLED, "--temperature", temperature)
    outcome = specdec("generate", "--target", "target", "--draft", draft, *options, "-p", "the cat")
    assert refused(outcome, "damaged in float32", "not finite numbers")


def test_a_draft_that_overflows_float16_is_refused_by_its_format(specdec, models):
    draft = models("draft", 1e30, "model.layers.0.mlp.down_proj.weight")
    options = ("--method", "sps", "--verify", "block", *SAMPLED, "--dtype", "float16")
    outcome = specdec("generate", "--target", "target", "--draft", draft, *options, "-p", "the cat")
    assert refused(outcome, "damaged in float16")


ANSWER = ("--max-tokens", "6", "--raw", "--dtype", "float32")
COMMANDS = {
    "bench": ("bench", "--dataset", "prompts.jsonl", "--methods", "sps", "--n-tests", "1", *ANSWER),
    "inspect": ("inspect", "--method", "sps", "-p", "the cat", *ANSWER),
    "trees plan": ("trees", "plan", "--output", "tree.json", "--n-tests", "1", "--dtype", "float32"),
    "we": ("ensemble", "--algorithm", "we", "--models", "damaged,draft", "-p", "the cat", *ANSWER),
    "chef": ("ensemble", "--algorithm", "we-chef", "--models", "damaged,draft", "-p", "the cat", *ANSWER),
    "cd": ("ensemble", "--algorithm", "cd", "--models", "draft,damaged", "-p", "the cat", *ANSWER),
    "specem": (
        "ensemble",
        "--algorithm",
        "specem",
        "--models",
        "damaged,draft",
        "-p",
        "cat",
        "--dtype",
        "float32",
    ),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_that_asks_a_broken_model_says_so(specdec, models, tmp_path, command):
    models("target", math.nan)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "the cat"}\n')
    named = () if "--models" in command else ("--target", "damaged", "--draft", "draft")
    assert refused(specdec(*command, *named), "damaged in float32", "not finite numbers")


def test_a_contrast_too_large_for_its_numbers_is_refused(specdec, models):
    options = ("--algorithm", "cd", "--models", "target,draft", "--alpha", "1e38", *SAMPLED)
    outcome = specdec("ensemble", *options, "-p", "the cat")
    assert refused(outcome, "not finite numbers")


def test_a_nucleus_too_small_for_float32_is_greedy(specdec, models):
    common = ("--target", "target", "--method", "autoregressive", *SAMPLED)
    tiny = specdec("generate", *common, "--top-p", "1e-46", "-p", "the cat")
    greedy = specdec("generate", *common, "--temperature", "0", "-p", "the cat")
    assert tiny.code == greedy.code == 0
    assert tiny.out == greedy.out


@pytest.mark.parametrize("rate", ["inf", "nan", "1e38"])
def test_no_draft_is_distilled_at_a_rate_that_no_training_survives(specdec, models, rate):
    outcome = specdec("distill", "-o", "new", "--target", "target", "--learning-rate", rate)
    assert outcome.code == 2
    assert "--learning-rate" in outcome.err


def test_a_training_that_comes_apart_leaves_no_draft(specdec, models, tmp_path, monkeypatch):
    monkeypatch.setitem(training.LOSSES, "kl", lambda target, logits: logits.sum(-1) * math.nan)
    text = ("--tokens", "256", "--texts", "2", "--length", "16", "--vocabulary", "20", "--dtype", "float32")
    outcome = specdec("distill", "-o", "new", "--target", "target", *text)
    assert refused(outcome, "came apart at step 1", "--learning-rate")
    assert not (tmp_path / "new" / "config.json").exists()


def test_a_trained_head_too_large_for_float16_is_not_kept():
    head = torch.full((4,), 1e5)
    with pytest.raises(NotFiniteError, match="float16"):
        require_finite_weights([head.half()])
    require_finite_weights([head])
