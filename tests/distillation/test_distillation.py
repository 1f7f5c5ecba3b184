"""A target of a known law teaches it to a draft; a run that was stopped ends as one without a stop."""

import errno
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import tiny_checkpoints
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn.functional import softmax

from specdec_cli.distillation.acceptance import measure_acceptance
from specdec_cli.distillation.corpus import Corpus
from specdec_cli.distillation.data_generation import write_shard
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.run import distil, frame_of, put_in_place
from specdec_cli.distillation.students import new_student
from specdec_cli.distillation.training import Training, batch_of, schedule
from specdec_cli.errors import InputError, MismatchError, ResourceError, SpecdecError
from specdec_cli.models.eagle.checkpoint import load_eagle_head, read_weights
from specdec_cli.models.forward.batch import FusedBatch, HFBatch, new_batch_forward
from specdec_cli.models.loader import load_model
from specdec_cli.models.quantization.linear import Int4Linear
from specdec_cli.models.reduced_vocab_head import ReducedHead

SMALL: dict[str, Any] = {"tokens": 24 * 16, "texts": 24, "length": 16, "batch": 6, "epochs": 1, "unroll": 2}


class Silent:
    """Watches nothing."""

    def phase(self, name, total, done):
        return nullcontext()

    def advance(self, units):
        pass

    def measured(self, row):
        pass

    def say(self, text):
        pass


class Stop(Exception):
    """Somebody pulled the plug."""


class StopsAfter(Silent):
    """Pulls the plug after a number of units of work."""

    def __init__(self, units):
        self.left = units

    def advance(self, units):
        self.left -= units
        if self.left < 0:
            raise Stop


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_checkpoints.folder(tmp_path_factory.mktemp("target"), words=tiny_checkpoints.ASCII)


@pytest.fixture(scope="module")
def target(folder):
    return load_model(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def bigram(folder):
    """A target whose next token depends on the last one alone: layers that add nothing to the embedding."""
    loaded = load_model(str(folder), dtype="float32")
    for layer in loaded.model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    loaded.model.lm_head.weight.data *= 1.5 / loaded.model.lm_head.weight.data.std() / 32**0.5
    return loaded


def weights_of(folder):
    return (folder / "model.safetensors").read_bytes()


def written(target, recipe, forward=None, number=0):
    return write_shard(
        forward or new_batch_forward(target.model, recipe.texts, recipe.length),
        frame_of(target),
        [[40, 41], [50]],
        whole=False,
        texts=recipe.texts,
        length=recipe.length,
        seed=f"{recipe.seed}/{number}",
        tick=lambda units: None,
    )


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
    assert again.history == whole.history


def test_the_fused_writer_and_the_module_write_from_the_same_logits(target):
    fused, module = FusedBatch(target.model, 3, 8), HFBatch(target.model)
    chance = torch.Generator().manual_seed(0)
    for _ in range(8):
        tokens = torch.randint(2, 90, (3,), generator=chance)
        for found, right in zip(fused.read(tokens), module.read(tokens), strict=True):
            torch.testing.assert_close(found, right, atol=1e-4, rtol=0)


def test_what_is_kept_of_a_text_is_what_the_target_says_of_it_read_at_once(target):
    shard = written(target, Recipe("tiny", **SMALL))
    output = target.model(input_ids=shard.tokens[:5].long(), output_hidden_states=True)
    kept = shard.features[:5].float()
    torch.testing.assert_close(kept, output.hidden_states[-1], atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(shard.normalisers[:5], output.logits.logsumexp(-1), atol=1e-4, rtol=0)


def test_the_same_seed_writes_the_same_text_and_another_shard_another(target):
    recipe = Recipe("tiny", **SMALL)
    first, again, other = (written(target, recipe, number=number) for number in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert not torch.equal(first.tokens, other.tokens)


def test_a_draft_of_another_recipe_is_not_written_over(target, tmp_path):
    distil(target, Recipe("tiny", **SMALL), tmp_path, None, None, Silent())
    with pytest.raises(InputError, match="other settings"):
        distil(target, Recipe("tiny", **{**SMALL, "length": 15}), tmp_path, None, None, Silent())
    with pytest.raises(SpecdecError, match="other settings"):
        distil(target, Recipe("tiny", **{**SMALL, "epochs": 2}), tmp_path, None, None, Silent())


def test_text_of_another_revision_dtype_or_tokenizer_is_refused(target, tmp_path):
    recipe = Recipe("tiny", **SMALL, revision="one", dtype="float32", tokenizer="abc")
    Corpus(tmp_path, recipe.corpus)
    Corpus(tmp_path, Recipe("tiny", **SMALL).corpus)  # what is not said cannot differ
    others: list[dict[str, Any]] = [{"revision": "two"}, {"dtype": "bfloat16"}, {"tokenizer": "abd"}]
    for changes in others:
        with pytest.raises(InputError, match="another target or with other settings"):
            Corpus(tmp_path, replace(recipe, **changes).corpus)


def test_text_that_an_older_version_wrote_is_gone_on_with(tmp_path):
    recipe = Recipe("tiny", **SMALL, revision="one", dtype="float32", tokenizer="abc")
    old = {name: recipe.corpus[name] for name in ("target", "texts", "length", "prompts", "seed")}
    Corpus(tmp_path, old)
    Corpus(tmp_path, recipe.corpus)
    with pytest.raises(InputError, match="other settings"):
        Corpus(tmp_path, replace(recipe, seed=1).corpus)


def test_a_checkpoint_of_another_dtype_is_not_gone_on_with(folder, target, tmp_path):
    """It is refused before anything is written, and the way to go on is named."""
    distil(target, Recipe("tiny", **SMALL), tmp_path / "draft", tmp_path / "text", None, Silent())
    other, watch = load_model(str(folder), dtype="bfloat16"), StopsAfter(0)
    problem = "training with other settings: dtype was float32 and is bfloat16"
    with pytest.raises(SpecdecError, match=problem) as caught:
        distil(other, Recipe("tiny", **SMALL), tmp_path / "draft", tmp_path / "other", None, watch)
    assert caught.value.hint.startswith("Add --dtype float32 to go on with it.")
    problem = "with other settings: dtype was float32 and is bfloat16"
    with pytest.raises(InputError, match=problem) as caught:
        distil(other, Recipe("tiny", **SMALL), tmp_path / "another", tmp_path / "text", None, watch)
    assert caught.value.hint.startswith("Add --dtype float32 to go on with it.")


def test_what_differs_is_named(target, tmp_path):
    distil(target, Recipe("tiny", **SMALL), tmp_path, None, None, Silent())
    with pytest.raises(InputError, match=r"other settings: length, seed\.$"):
        distil(target, Recipe("tiny", **{**SMALL, "length": 15, "seed": 1}), tmp_path, None, None, Silent())
    with pytest.raises(SpecdecError, match=r"other settings: learning-rate\.$") as caught:
        distil(target, Recipe("tiny", **SMALL, learning_rate=1.0), tmp_path, None, None, Silent())
    assert caught.value.hint == "Delete it to train anew, or use another --output."


IMPOSSIBLE = {
    "exceeds the context": {"length": 129, "tokens": 24 * 129},
    "no smaller model": {"layers": 2},
    "no more than a chat template": {"length": 5, "tokens": 24 * 5},
}


@pytest.mark.parametrize("problem", IMPOSSIBLE)
@pytest.mark.parametrize("kind", ["head", "layers"])
def test_what_a_target_cannot_teach_is_refused_before_anything_is_written(target, tmp_path, kind, problem):
    recipe = Recipe("tiny", kind=kind, **{**SMALL, **IMPOSSIBLE[problem]})
    with pytest.raises(InputError, match=problem):
        distil(target, recipe, tmp_path / "draft", None, None, Silent())
    assert not (tmp_path / "draft").exists()


def test_so_is_a_target_whose_logits_no_draft_could_make(folder, tmp_path):
    capped = load_model(str(folder), dtype="float32")
    capped.model.lm_head.register_forward_hook(lambda module, given, logits: 30 * (logits / 30).tanh() + 1)
    with pytest.raises(MismatchError, match="changes its logits"):
        distil(capped, Recipe("tiny", **SMALL), tmp_path / "draft", None, None, Silent())
    assert not (tmp_path / "draft").exists()


@pytest.mark.parametrize(
    ("changes", "problem"), [({"batch": 25}, "texts there are"), ({"epochs": 0}, "no step")]
)
def test_a_recipe_that_trains_nothing_is_none(changes, problem):
    with pytest.raises(InputError, match=problem):
        Recipe("tiny", **{**SMALL, **changes})


def test_prompts_that_leave_no_room_for_an_answer_are_left_out_and_counted(target, tmp_path):
    said: list[str] = []

    class Heard(Silent):
        def say(self, text):
            said.append(text)

    watch = Heard()
    recipe = Recipe("tiny", prompts="some", **{**SMALL, "length": 32, "tokens": 24 * 32})
    distil(target, recipe, tmp_path, None, ["ab", "b" * 40], watch)
    assert "1 of 2 prompts leave no room" in said[0]
    draft = load_eagle_head("draft", tmp_path, target)
    assert all(weight.isfinite().all() for weight in draft.model.parameters())


def test_a_damaged_shard_is_named(target, tmp_path):
    recipe = Recipe("tiny", **SMALL)
    distil(target, recipe, tmp_path, None, None, Silent())
    (tmp_path / "work" / "text" / "00001.safetensors").write_bytes(b"cut short")
    with pytest.raises(SpecdecError, match=r"00001\.safetensors is damaged"):
        distil(target, recipe, tmp_path, None, None, Silent())


FULL = {
    "corpus.save_file": SafetensorError("I/O error: No space left on device (os error 28)"),
    "training.torch.save": RuntimeError("PytorchStreamWriter failed writing file: file write failed"),
    "run.os.replace": OSError(errno.ENOSPC, "No space left on device"),
}
SAVES = {
    "head": "specdec_cli.models.eagle.checkpoint.save_file",
    "layers": "specdec_cli.distillation.students.save_file",
}


@pytest.mark.parametrize("place", FULL)
def test_a_full_disk_is_told_in_a_sentence(target, tmp_path, monkeypatch, place):
    _fill_the_disk(monkeypatch, f"specdec_cli.distillation.{place}", FULL[place])
    with pytest.raises(ResourceError, match="could not be written"):
        distil(target, Recipe("tiny", **SMALL), tmp_path, None, None, Silent())


@pytest.mark.parametrize("kind", SAVES)
def test_so_is_one_that_has_no_room_for_the_draft(target, tmp_path, monkeypatch, kind):
    _fill_the_disk(monkeypatch, SAVES[kind], FULL["corpus.save_file"])
    student = new_student(kind, target, torch.arange(20), 1)
    (tmp_path / "work").mkdir()
    with pytest.raises(ResourceError, match="The draft could not be written"):
        put_in_place(student, tmp_path)


def _fill_the_disk(monkeypatch, place, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(place, full)


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_cosine():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 3, rel=0.01)
    assert max(rates) == rates[2]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("kind", ["head", "layers"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_target_of_16_bits_teaches_a_draft_too(folder, tmp_path, kind, dtype):
    teacher = load_model(str(folder), dtype=dtype)
    distil(teacher, Recipe("tiny", kind=kind, **SMALL), tmp_path, None, None, Silent())
    if kind == "head":
        draft = load_eagle_head("draft", tmp_path, teacher)
        assert {weight.dtype for weight in draft.model.parameters()} == {teacher.dtype}
    assert teacher.model.get_input_embeddings().weight.dtype == teacher.dtype


def test_a_head_whose_tokens_are_out_of_order_is_refused(target, tmp_path):
    new_student("head", target, torch.tensor([1, 4, 9]), 1).save(tmp_path, "float16")
    load_eagle_head("draft", tmp_path, target)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    save_file(weights | {"inner.lm_head.tokens": torch.tensor([1, 9, 4])}, file)
    with pytest.raises(SpecdecError, match="its tokens are not ids in order"):
        load_eagle_head("draft", tmp_path, target)


@pytest.mark.parametrize("store", ["float16", "int4"])
def test_a_head_is_measured_as_it_is_stored_and_read_as_it_is_measured(target, tmp_path, store):
    recipe = Recipe("tiny", **SMALL)
    found = distil(target, recipe, tmp_path, None, None, Silent(), store)
    dense, low = read_weights(tmp_path)
    student = new_student("head", target, dense["inner.lm_head.tokens"], 1)
    student.module.load_state_dict(dense, strict=False)
    held_out = Corpus(tmp_path / "work" / "text", recipe.corpus).read(0)
    output = target.model.lm_head.weight
    assert measure_acceptance(student, output, held_out, recipe.unroll, target.device) == found.acceptance
    fuse = load_eagle_head("draft", tmp_path, target).model.fuse
    assert ("fuse.weight" in low, isinstance(fuse, Int4Linear)) == (store == "int4",) * 2
    loaded = fuse.dense() if isinstance(fuse, Int4Linear) else fuse.weight
    torch.testing.assert_close(loaded, dense["fuse.weight"].float(), atol=1e-6, rtol=1e-6)


def test_only_as_a_draft_is_a_model_cut_to_a_reduced_vocabulary(target, tmp_path):
    new_student("layers", target, torch.arange(2, 22), 1).save(tmp_path, "float16")
    as_draft, as_target = (
        load_model(str(tmp_path), dtype="float32", drafts=drafts) for drafts in (True, False)
    )
    assert isinstance(as_draft.model.get_output_embeddings(), ReducedHead)
    logits = as_target.model(input_ids=torch.tensor([[5, 9]])).logits
    assert logits.isfinite().all()
