"""`specdec generate` with an offloaded target on tiny models: its text, its plan and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from program import Program
from safetensors.torch import load_file

from specdec_cli.errors import NO_ROOM, USAGE, InputError
from specdec_cli.models.eagle.checkpoint import save_eagle_head, vocabulary_digest
from specdec_cli.models.eagle.files import MadeFor
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.hf.checkpoint import weight_bytes
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.memory_plan import row_bytes
from specdec_cli.runtime.offload import offload_of
from specdec_cli.runtime.preflight import require_usable
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft

TARGET = {"num_hidden_layers": 8}


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None]) -> None:
    in_folder_with_prompts(2)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.usefixtures("gpu")
def test_a_rounded_draft_on_a_gpu_is_refused_before_loading(target: str) -> None:
    settings = Settings(target=target, offload="cpu", dtype="float32")
    with pytest.raises(InputError, match="int4"):
        offload_of(settings, parse_draft("self:int4"), 8, lambda _: None)


def test_generate_gives_the_text_of_the_resident_target(specdec: Program, target: str) -> None:
    plain = ["generate", "-m", target, "-p", "the cat", "-n", "12", "-q", "--method"]
    expected = specdec(*plain, "autoregressive")
    for more in (
        ["autoregressive"],
        ["specexec", "-d", "self:int4"],
        ["ngram"],
        ["specexec", "-d", "layers:2"],
    ):
        found = specdec(*plain, *more, "--offload", "disk", "--resident-layers", "2")
        assert (found.code, found.out) == (0, expected.out), found.err


@pytest.fixture(scope="module")
def head(target: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    teacher = load_model(target, dtype="float32")
    shape = head_shape(teacher.model.config)
    embedding = teacher.model.get_input_embeddings()
    torch.manual_seed(1)
    made = new_eagle_head(embedding, torch.arange(40), 1, shape, torch.float32)
    folder = tmp_path_factory.mktemp("head")
    made_for = MadeFor(target, embedding.embedding_dim, vocabulary_digest(teacher.tokenizer))
    save_eagle_head(made, made_for, folder, "float16")
    return str(folder)


def test_an_eagle_head_drafts_for_an_offloaded_target(specdec: Program, target: str, head: str) -> None:
    plain = ["generate", "-m", target, "-p", "the cat", "-n", "12", "-q", "--method"]
    expected = specdec(*plain, "autoregressive")
    found = specdec(*plain, "specexec", "-d", head, "--offload", "disk", "--resident-layers", "2")
    assert (found.code, found.out) == (0, expected.out), found.err


def test_the_plan_counts_an_eagle_head_with_its_cache(target: str, head: str) -> None:
    settings = Settings(target=target, offload="disk", dtype="float32")
    found = offload_of(settings, parse_draft(head), 8, lambda _: None)
    assert found is not None
    stored = load_file(Path(head) / "model.safetensors")
    numbers = sum(weight.numel() for weight in stored.values() if weight.is_floating_point())
    ids = stored["inner.lm_head.tokens"].nbytes
    assert found.work.draft_bytes == 2 * (4 * numbers + ids)  # as they are, and packed
    assert row_bytes(found.work.draft_config, torch.float32) == 2 * 2 * 8 * 4  # of its one layer


@pytest.mark.parametrize(
    ("draft_device", "counted"), [(None, True), ("cuda", True), ("cuda:0", True), ("cpu", False)]
)
def test_on_a_gpu_only_a_draft_that_lies_there_counts(
    monkeypatch: pytest.MonkeyPatch, target: str, draft_device: str | None, counted: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    settings = Settings(
        target=target, offload="cpu", device="auto", dtype="float32", draft_device=draft_device
    )
    found = offload_of(settings, parse_draft(target), 8, lambda _: None)
    assert found is not None
    weights = weight_bytes(Path(target), torch.float32)
    assert found.work.draft_bytes == (weights if counted else 0)  # nothing is packed on a GPU
    assert (found.work.draft_config is not None) == counted


def test_too_little_memory_is_refused_before_loading_with_exit_code_4(specdec: Program, target: str) -> None:
    outcome = specdec("generate", "-m", target, "-p", "x", "--method", "ngram", "--offload", "disk",
                      "--memory-limit", "1MiB")  # fmt: skip
    assert outcome.code == NO_ROOM
    assert "may take 1:" in outcome.err
    assert "--memory-limit" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--memory-limit", "2GiB"], "--memory-limit has no use: the target is not offloaded"),
        (["--link-gbps", "1"], "--link-gbps has no use"),
        (["--offload", "disk", "--memory-limit", "lots"], "--memory-limit must be an amount of memory"),
        (["--offload", "disk", "--quantize", "int4"], "--quantize int4 does not go with an offloaded target"),
        (["--offload", "disk", "--draft", "layers:3"], "layers:3 needs its layers in memory"),
        (
            [
                "--offload",
                "disk",
                "--draft",
                "layers:2",
                "--resident-layers",
                "2",
                "--draft-quantize",
                "int8",
            ],
            "is cut from an offloaded target",
        ),
        (["--draft", "layers:2", "--draft-quantize", "bnb-4bit"], "cannot be rounded to bnb-4bit"),
        (["--draft", "HEAD", "--draft-quantize", "bnb-4bit"], "cannot be rounded to bnb-4bit"),
        (["--offload", "disk", "--device", "cuda:9"], "cuda:9 is not in this machine"),
    ],
)
def test_what_does_not_go_together_is_refused(
    specdec: Program, target: str, head: str, arguments: list[str], problem: str
) -> None:
    arguments = [head if each == "HEAD" else each for each in arguments]
    outcome = specdec("generate", "-m", target, "-p", "x", "-d", "ngram", *arguments)
    assert outcome.code == USAGE
    assert problem in outcome.err


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("draft", ["HEAD", "layers:2", "self:int4"])
def test_a_draft_of_the_targets_weights_lies_where_they_do(target: str, head: str, draft: str) -> None:
    name = head if draft == "HEAD" else draft
    settings = Settings(target=target, device="cpu", draft_device="cuda:0", draft=name)
    with pytest.raises(InputError, match="cuda:0 has no use"):
        require_usable(settings, parse_draft(name))
    require_usable(replace(settings, draft_device="cpu"), parse_draft(name))
    require_usable(settings, parse_draft(target))


def test_a_budget_from_the_hardware_gives_the_same_text(specdec: Program, target: str) -> None:
    plain = ["generate", "-m", target, "-p", "the cat", "-n", "12", "-q"]
    expected = specdec(*plain, "--method", "autoregressive").out
    offload = ["--offload", "disk", "--link-gbps", "0.05", "--resident-layers", "2"]
    found = specdec(*plain, "-d", "self:int8", "--max-budget", "auto", *offload)
    assert (found.code, found.out) == (0, expected), found.err


WITHOUT_PROBABILITIES = (["-d", "ngram"], ["--method", "ngram"], ["--method", "sequoia", "-d", "layers:1"])


@pytest.mark.parametrize("more", WITHOUT_PROBABILITIES)
def test_a_budget_from_the_hardware_needs_probabilities(
    specdec: Program, target: str, more: list[str]
) -> None:
    outcome = specdec("generate", "-m", target, "-p", "x", "--max-budget", "auto", *more)
    assert outcome.code == USAGE
    assert "auto" in outcome.err
