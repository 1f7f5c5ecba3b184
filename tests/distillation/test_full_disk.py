"""Files that are damaged or do not fit on the disk are told in a sentence."""

import errno

import pytest
import torch
from distilling import SMALL, Silent
from safetensors import SafetensorError

from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.run import distil, put_in_place
from specdec_cli.distillation.students import new_student
from specdec_cli.errors import ResourceError, SpecdecError


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
