"""What goes wrong while layers stream is said in a sentence; what is left over is never taken for whole."""

import errno
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
from safetensors import SafetensorError

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.self_drafts import streamed

LAYERS = 6


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    folder = tiny.folder(
        tmp_path / "target", num_hidden_layers=LAYERS, hidden_size=128, intermediate_size=192
    )
    offload = Offload("disk", Workload(16, 8, 512), Limits(None, 1))
    return load_model(str(folder), device="cpu", dtype="float32", offload=offload)


def test_a_file_that_is_cut_while_it_streams_is_named(target):
    runner = Runner(new_forward(target.model, target.stream), 128)
    runner.begin([5, 9, 30])
    file = Path(target.name) / "model.safetensors"
    with file.open("r+b") as opened:
        opened.truncate(20_000)
    with pytest.raises(SpecdecError, match="became shorter while it was read"):
        [runner.root() for _ in range(3)]  # what is in the buffers may still be whole


FULL = (
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
)


@pytest.mark.parametrize("error", FULL, ids=["python", "safetensors"])
def test_a_draft_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing(
    target, monkeypatch, tmp_path, error
):
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(streamed, "save_file", full)
    with pytest.raises(ResourceError, match="could not be written"):
        streamed.quantized_copy(target, "int4", lambda _: None)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_draft_that_was_killed_while_it_was_written_is_made_again(target, monkeypatch, tmp_path):
    def killed(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(streamed, "save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            streamed.quantized_copy(target, "int4", lambda _: None)
    said: list[str] = []
    streamed.quantized_copy(target, "int4", said.append)
    assert said == [f"Rounding a copy of {target.name} to int4, once"]


def test_a_draft_whose_file_was_cut_is_made_again(target, tmp_path):
    streamed.quantized_copy(target, "int8", lambda _: None)
    file = next((tmp_path / "cache" / "drafts").rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    said: list[str] = []
    streamed.quantized_copy(target, "int8", said.append)
    assert len(said) == 1
