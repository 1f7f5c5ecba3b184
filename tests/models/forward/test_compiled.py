"""Compiled kernels compute what the kernels do, are made once, and fail with advice."""

import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_models import ARCHITECTURES, random_model, random_tokens, random_tree

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.forward import compiled
from specdec_cli.models.forward.fused_weights import kernel_shape
from specdec_cli.models.forward.select import can_compile, compile_forward, compiled_forward, new_forward
from specdec_cli.models.runner.model_runner import Runner

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model():
    return random_model(ARCHITECTURES["qwen3"]()).float()  # the kernels with the most in them


@pytest.mark.slow
@needs_compiler
def test_compiled_pieces_compute_the_same_and_are_made_once(model, cache):
    said: list[str] = []
    forwards = new_forward(model), compiled_forward(model, said.append)
    assert said == ["Compiling the forward pass (about a minute, once)"]
    assert [folder.name for folder in cache.iterdir()] == ["compiled"]  # nothing of the compiler's is left
    for size, length in ((0, 600), (1, 600), (9, 600), (40, 600), (70, 600), (0, 1), (5, 1)):
        logits = []
        for forward in forwards:
            runner = Runner(forward, 1024)
            runner.begin(random_tokens(length, 1))
            logits.append(runner.score(random_tree(size, random.Random(size))))
        torch.testing.assert_close(*logits, atol=1e-4, rtol=0)
    assert rows_that_differ(forwards[1]) == 0
    compiled_forward(model, said.append)
    assert len(said) == 1


def rows_that_differ(forward):
    """How many rows of a tree that has a chain of its own at the front are not those of a pass each."""
    text, tree = random_tokens(120, 2), random_tree(40, random.Random(2), deepest=12)
    runner = Runner(forward, 1024)
    runner.begin(text)
    together, alone = runner.score(tree), []
    runner.begin(text)
    for token in tree.tokens[:12]:
        alone.append(runner.root())
        runner.commit((), [token])
    return int((torch.stack(alone) != together[:12]).any(1).sum())


def test_a_file_serves_one_shape_number_format_and_version(model, monkeypatch):
    shape = kernel_shape(model)
    keys = {
        compiled._key(shape, torch.float32),
        compiled._key(shape, torch.bfloat16),
        compiled._key(replace(shape, hidden=64), torch.float32),
    }
    monkeypatch.setattr(torch, "__version__", "2.99")
    keys.add(compiled._key(shape, torch.float32))
    monkeypatch.setattr(compiled, "_processor", lambda: "another")
    keys.add(compiled._key(shape, torch.float32))
    assert len(keys) == 5
    assert compiled._key(shape, torch.float32) == compiled._key(replace(shape), torch.float32)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"")], ids=["gone", "empty"])
def test_a_folder_that_lost_a_piece_is_compiled_again(model, monkeypatch, cache, damage):
    def write(shape, dtype, folder):
        for name in ("add_norm", "rotate", "weigh", "gate"):
            (folder / f"{name}.pt2").write_text("compiled")

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(compiled, "_write_apart", write)
    said: list[str] = []
    folder = compile_forward(model, said.append)
    assert compile_forward(model, said.append) == folder
    assert len(said) == 1
    damage(folder / "gate.pt2")
    assert compile_forward(model, said.append) == folder
    assert len(said) == 2
    assert (folder / "gate.pt2").read_text() == "compiled"


def test_without_a_compiler_it_says_so(model, monkeypatch, cache):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SpecdecError, match=r"needs a C\+\+ compiler"):
        compile_forward(model, lambda _: None)
    assert not (cache / "compiled").exists()


FAILURES = {
    "RuntimeError: out of luck\nand much more": (
        SpecdecError,
        "could not compile the pass: RuntimeError: out of luck",
    ),
    "C++ compile error\n\nOutput:\nx.cpp:1:2: fatal error: omp.h: No such file": (
        SpecdecError,
        "omp.h: No such file",
    ),
    "C++ compile error\ncc1plus: error writing to /x: No space left on device": (
        ResourceError,
        "filled the disk",
    ),
    "": (SpecdecError, "it said nothing"),
}


@needs_compiler
@pytest.mark.parametrize("said", FAILURES)
def test_a_failed_compilation_is_told_in_a_line_and_leaves_nothing(model, monkeypatch, cache, said):
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(compiled, "run_leashed", lambda *_: failed)
    kind, problem = FAILURES[said]
    with pytest.raises(SpecdecError) as caught:
        compile_forward(model, lambda _: None)
    assert type(caught.value) is kind
    assert problem in caught.value.problem
    assert list(cache.iterdir()) == []


def test_a_damaged_file_is_named(model, tmp_path):
    for name in ("add_norm", "rotate", "weigh", "gate"):
        (tmp_path / f"{name}.pt2").write_bytes(b"nothing")
    with pytest.raises(SpecdecError, match="cannot be loaded") as caught:
        compiled.load_kernels(tmp_path, kernel_shape(model), torch.float32)
    assert str(tmp_path) in caught.value.hint


def test_a_missing_file_is_an_error(model, tmp_path):
    with pytest.raises(SpecdecError, match="cannot be loaded"):
        compiled.load_kernels(tmp_path, kernel_shape(model), torch.float32)


def test_other_architectures_are_not_compiled():
    model = random_model(ARCHITECTURES["gpt2"]())
    assert not can_compile(model)
    with pytest.raises(SpecdecError, match="A gpt2 model on cpu cannot be compiled"):
        compile_forward(model, lambda _: None)
