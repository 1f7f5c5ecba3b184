"""Drafts are read as they were measured, whatever they are stored as."""

import pytest
import torch
from distilling import SMALL, Silent
from safetensors.torch import load_file, save_file

from specdec_cli.distillation.acceptance import measure_acceptance
from specdec_cli.distillation.corpus import Corpus
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.run import distil
from specdec_cli.distillation.students import new_student
from specdec_cli.errors import SpecdecError
from specdec_cli.models.eagle.checkpoint import load_eagle_head, read_weights
from specdec_cli.models.loader import load_model
from specdec_cli.models.quantization.linear import Int4Linear
from specdec_cli.models.reduced_vocab_head import ReducedHead


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
