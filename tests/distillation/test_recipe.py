"""What cannot be taught, or is of another recipe, is refused before anything is written."""

from dataclasses import replace
from typing import Any

import pytest
from distilling import SMALL, Silent, StopsAfter

from specdec_cli.distillation.corpus import Corpus
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.run import distil
from specdec_cli.errors import InputError, MismatchError, SpecdecError
from specdec_cli.models.eagle.checkpoint import load_eagle_head
from specdec_cli.models.loader import load_model


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
