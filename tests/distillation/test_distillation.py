"""A target of a known law teaches it to a draft; a run that was stopped ends as one without a stop."""

import json

import pytest
import torch
from distilling import SMALL, Silent, Stop, StopsAfter, weights_of
from torch.nn.functional import softmax

from specdec_cli.distillation.corpus import Corpus
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.run import distil
from specdec_cli.distillation.students import new_student
from specdec_cli.distillation.training import Training, batch_of, schedule
from specdec_cli.models.loader import load_model


@pytest.fixture(scope="module")
def bigram(folder):
    """A target whose next token depends on the last one alone: layers that add nothing to the embedding."""
    loaded = load_model(str(folder), dtype="float32")
    for layer in loaded.model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    loaded.model.lm_head.weight.data *= 1.5 / loaded.model.lm_head.weight.data.std() / 32**0.5
    return loaded


def test_a_draft_reaches_the_entropy_of_a_law_it_can_express(bigram, tmp_path):
    """Its cross-entropy on unseen text is the target's entropy, which is known exactly, to 0.1 nats."""
    recipe = Recipe("bigram", tokens=8 * 24 * 16, epochs=14, texts=24, length=16, batch=12, unroll=1,
                    learning_rate=8e-3)  # fmt: skip
    before, after = taught(bigram, recipe, tmp_path)
    assert before > 0.5
    assert 0 <= after < 0.1


def test_a_model_of_fewer_layers_learns_from_one_of_more(target, tmp_path):
    recipe = Recipe("tiny", kind="layers", layers=1, tokens=4 * 24 * 16, epochs=6, texts=24, length=16,
                    batch=12, learning_rate=4e-3)  # fmt: skip
    before, after = taught(target, recipe, tmp_path)
    assert after < before / 2


def taught(target, recipe, folder):
    """How far a student is from the target on unseen text before and after its training, in nats."""
    distil(target, recipe, folder, None, None, Silent())
    corpus = Corpus(folder / "work" / "text", recipe.corpus)
    output = target.model.lm_head.weight
    batch = batch_of(corpus.read(0))
    student = new_student(recipe.kind, target, _proposed(target, corpus, recipe), 1)
    law = softmax(batch.features[batch.learnt] @ output.T, -1)[:, student.output.tokens]
    law = law / law.sum(-1, keepdim=True)
    before = _excess(student, batch, law)
    training = Training(student, output[student.output.tokens], recipe, corpus, folder / "work/training.pt")
    assert training.progress.step == recipe.steps
    return before, _excess(student, batch, law)


def _excess(student, batch, law):
    """How far a student's cross-entropy is above the entropy of the law (n, R), in nats."""
    with torch.no_grad():
        hidden = student.outputs(batch.tokens, batch.features, 1)[0][batch.learnt]
        said = student.output(hidden)[:, student.output.tokens].log_softmax(-1)
    return float((law * (law.log() - said)).sum(-1).mean())


def _proposed(target, corpus, recipe):
    from specdec_cli.models.reduced_vocab_head import likely_tokens

    counts = corpus.token_counts(*target.model.lm_head.weight.shape, recipe.shards)
    return likely_tokens(counts, recipe.vocabulary, target.stop_tokens)


@pytest.mark.parametrize("units", [5 * 24, 24 * 16 + 24 * 16 // 2, 2 * 24 * 16 + 2], ids=str)
def test_a_run_that_was_stopped_ends_where_one_without_a_stop_does(target, tmp_path, monkeypatch, units):
    """Stopped in the first shard, in the second, and in training."""
    monkeypatch.setattr("specdec_cli.distillation.training.SAVE_SECONDS", 0.0)
    recipe = Recipe("tiny", **SMALL)
    whole = distil(target, recipe, tmp_path / "whole", None, None, Silent())
    with pytest.raises(Stop):
        distil(target, recipe, tmp_path / "stopped", None, None, StopsAfter(units))
    again = distil(target, recipe, tmp_path / "stopped", None, None, Silent())
    assert weights_of(tmp_path / "stopped") == weights_of(tmp_path / "whole")
    assert again.history[0]["step"] == 1
    assert json.dumps(again.history) == json.dumps(whole.history)  # counts stay whole numbers


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_cosine():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 3, rel=0.01)
    assert max(rates) == rates[2]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.001)
