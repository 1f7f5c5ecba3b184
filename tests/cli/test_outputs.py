"""Every flag that names what to write: refused before anything is loaded, never shared, never left behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Program

from specdec_cli.runtime.session import Session
from specdec_cli.storage.output import Output, claimed_folder

COMMANDS = {
    "bench --trace": ["bench", "--dataset", "prompts.jsonl", "--method", "sps", "--trace"],
    "bench --plot": ["bench", "--dataset", "prompts.jsonl", "--plot"],
    "generate --trace": ["generate", "-p", "x", "--method", "sps", "--trace"],
    "ensemble --output": ["ensemble", "--models", "a,b", "--input", "prompts.jsonl", "--output"],
    "specem --output": [
        "ensemble", "--algorithm", "specem", "--models", "a,b", "--input", "prompts.jsonl", "--output",
    ],
    "trees plan --output": ["trees", "plan", "--output"],
    "audit --output": ["audit", "--level", "exact", "--methods", "sps", "--output"],
}  # fmt: skip
ENDINGS = {"bench --plot": ".svg", "bench --trace": ".jsonl", "generate --trace": ".jsonl"}
MAKE_FOLDERS = ("ensemble --output", "specem --output")


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    in_folder_with_prompts(10)

    def loaded(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(Session, "load", loaded)
    monkeypatch.setattr("specdec_cli.audit.run.run", loaded)
    monkeypatch.setattr("specdec_cli.runtime.specem.load_ensemble", loaded)


def place_of(kind: str, folder: Path, ending: str) -> Path:
    (folder / "a file").write_text("x")
    (folder / f"folder{ending}").mkdir()
    os.mkfifo(folder / f"pipe{ending}")
    return {
        "in no folder": folder / "nowhere" / f"x{ending}",
        "in a file": folder / "a file" / f"x{ending}",
        "a folder": folder / f"folder{ending}",
        "a pipe": folder / f"pipe{ending}",
        "too long": folder / ("x" * 300 + ending),
        "in a folder of the system": Path(f"/proc/x{ending}"),
    }[kind]


KINDS = ("in no folder", "in a file", "a folder", "a pipe", "too long", "in a folder of the system")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (command, kind)
        for command in COMMANDS
        for kind in KINDS
        if kind != "in no folder" or command not in MAKE_FOLDERS  # which make it
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_loading(
    specdec: Program, tmp_path: Path, command: str, kind: str
) -> None:
    place = place_of(kind, tmp_path, ENDINGS.get(command, ".json"))
    outcome = specdec(*COMMANDS[command], str(place))
    assert (outcome.code, outcome.out) == (2, "")
    assert ("cannot be written" in outcome.err) or ("is there already" in outcome.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_another_run_writes_is_refused_before_loading(
    specdec: Program, tmp_path: Path, command: str
) -> None:
    path = tmp_path / f"mine{ENDINGS.get(command, '.json')}"
    with Output(path):
        outcome = specdec(*COMMANDS[command], str(path))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{path} is being written by another run." in outcome.err
    assert not path.exists()


@pytest.mark.parametrize("command", ["bench", "offload-bench"])
@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "", ".."])
def test_an_experiments_name_names_no_other_folder(
    specdec: Program, tmp_path: Path, command: str, name: str
) -> None:
    outcome = specdec(command, "--dataset", "prompts.jsonl", "--exp-name", name)
    assert outcome.code == 2
    assert "--exp-name" in outcome.err
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("command", ["bench", "offload-bench"])
def test_one_experiment_is_one_runs(specdec: Program, tmp_path: Path, command: str) -> None:
    with Output(tmp_path / "logs" / "x.jsonl", make_folders=True):
        outcome = specdec(command, "--dataset", "prompts.jsonl", "--exp-name", "x")
    assert outcome.code == 2
    assert "x.jsonl is being written by another run." in outcome.err


def test_so_is_the_folder_of_a_draft(specdec: Program, tmp_path: Path) -> None:
    with claimed_folder(tmp_path / "draft" / "work", "It"):
        outcome = specdec("distill", "--output", "draft")
    assert outcome.code == 2
    assert "--output draft is being written by another run." in outcome.err
    assert not (tmp_path / "draft").exists()


def test_an_audit_that_fails_to_write_its_certificate_says_there_is_no_room(
    specdec: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    real = os.fsync

    def full(descriptor: int) -> None:
        real(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = specdec("audit", "--level", "exact", "--methods", "sps", "--output", "x.json")
    assert outcome.code == 4
    assert "x.json could not be written: No space left on device." in outcome.err
    assert [each.name for each in tmp_path.iterdir() if "x.json" in each.name] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no such device")
def test_full_standard_output_is_a_matter_of_room() -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "specdec_cli", "presets", "list"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert run.returncode == 4
    assert run.stderr.startswith("Error: There is no room to write: No space left on device.\nHint: ")
    assert len(run.stderr.splitlines()) == 2


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed: str) -> None:
    run = subprocess.run(
        f"'{sys.executable}' -m specdec_cli presets list {closed}",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert bool(run.stdout) == (">&-" not in closed.replace("2>&-", ""))


SECRETS = {
    "HF_ENDPOINT": "https://ann:s3cret-w0rd@hub.example/x",
    "HTTPS_PROXY": "http://ann:pa%40ss/word-1@proxy.example:3128",
    "HF_TOKEN": "hf_abcdefghijklmnop",
}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", SECRETS)
def test_passwords_and_tokens_are_not_printed(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, name: str, debug: bool
) -> None:
    monkeypatch.setenv(name, SECRETS[name])

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError(f"{SECRETS[name]} refused, twice: {SECRETS[name]}")

    monkeypatch.setattr("specdec_cli.cli.presets.load_settings", failing)
    outcome = specdec("presets", "show", "creative", *(["--debug"] if debug else []))
    for secret in ("s3cret-w0rd", "word-1", "abcdefghijklmnop"):
        assert secret not in outcome.out + outcome.err
    assert "***" in outcome.err


def test_the_address_of_the_hub_is_named_without_its_password(
    specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", SECRETS["HF_ENDPOINT"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome = specdec("bench", "--dataset", "gsm8k")
    assert "https://***@hub.example/x" in outcome.err
    assert "s3cret" not in outcome.err
