"""The program's frame: help, version, errors and exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import tiny_checkpoints as tiny
import torch
from program import Program

from specdec_cli import __version__
from specdec_cli.errors import MismatchError

PROGRAM = [sys.executable, "-m", "specdec_cli"]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `specdec presets show` meet that error."""

    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("specdec_cli.cli.presets.load_settings", failing)


def test_help_names_every_command(specdec: Program) -> None:
    outcome = specdec("--help")
    assert outcome.code == 0
    for command in ("generate", "demo", "models", "presets"):
        assert command in outcome.out


def test_version_is_the_result_alone(specdec: Program) -> None:
    outcome = specdec("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"specdec {__version__}\n", "")


def test_no_command_shows_the_help(specdec: Program) -> None:
    outcome = specdec()
    assert "presets" in outcome.out + outcome.err
    assert outcome.code == 2


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["nonsense"], "No such command 'nonsense'.", "`specdec --help` lists what it takes."),
        (
            ["presets", "show"],
            "Missing argument 'name'.",
            "`specdec presets show --help` lists what it takes.",
        ),
        (["presets", "list", "--nonsense"], "No such option: --nonsense.", "`specdec presets list --help`"),
        (["generate", "a prompt"], "Got unexpected extra argument", 'Give the prompt as -p "...".'),
    ],
)
def test_usage_errors_are_two_lines_and_end_in_two(
    specdec: Program, arguments: list[str], problem: str, hint: str
) -> None:
    outcome = specdec(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    first, second = outcome.err.splitlines()
    assert first.startswith(f"Error: {problem}")
    assert second.startswith(f"Hint:  {hint}")


def test_a_users_error_is_two_lines_and_its_own_exit_code(
    specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, MismatchError("[red]a[/red] and b\ndo not fit " + "x" * 200, "Take [c]."))
    outcome = specdec("presets", "show", "creative")
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == f"Error: [red]a[/red] and b do not fit {'x' * 200}\nHint:  Take [c].\n"


def test_any_other_error_is_named_in_one_line(specdec: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("broken\nat line 7"))
    outcome = specdec("presets", "show", "creative")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Error: RuntimeError: broken\nHint:  Run again with --debug to see where.\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=["python", "processor", "gpu"],
)
def test_memory_that_ends_is_exit_code_4(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fail_with(monkeypatch, error)
    outcome = specdec("presets", "show", "creative")
    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err.startswith("Error: The command cannot go on: there is not enough memory.\nHint:  ")


@pytest.mark.parametrize("columns", ["9" * 5000, "\N{SUPERSCRIPT TWO}", "-1", "wide", "", "0", "00080"])
@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_a_screen_of_any_size_is_written_to(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, name: str, columns: str
) -> None:
    monkeypatch.setenv(name, columns)
    assert specdec("trees", "show", "2x2").code == 0
    assert specdec("trees", "--help").code == 0


@pytest.mark.parametrize(
    "name", ["~no-such-user/x", "self:int4", "nan:1", "\N{FULLWIDTH DIGIT ONE}", "a b", "-x"]
)
def test_a_name_that_no_model_can_have_is_a_usage_error(specdec: Program, name: str) -> None:
    for arguments in (
        ("models", "check", name, name),
        ("demo", f"--target={name}"),
        ("models", "pull", name),
    ):
        outcome = specdec(*arguments)
        assert (outcome.code, outcome.out) == (2, ""), outcome.err
        assert outcome.err.startswith("Error: ")
        assert "Hint:  " in outcome.err


@pytest.mark.parametrize("place", ["before", "after", "variable"])
@pytest.mark.parametrize("error", [RuntimeError("broken"), MismatchError("no fit", "Choose another.")])
def test_debug_brings_the_traceback_back(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    fail_with(monkeypatch, error)
    monkeypatch.setenv("SPECDEC_DEBUG", "1" if place == "variable" else "0")
    show = ["presets", "show", "creative"]
    arguments = {"before": ["--debug", *show], "after": [*show, "--debug"], "variable": show}[place]
    outcome = specdec(*arguments)
    assert "Traceback" in outcome.err
    assert "in failing" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("Hint:  ")


def test_an_interrupt_ends_in_130(specdec: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    outcome = specdec("presets", "show", "creative")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


def test_a_reader_that_has_gone_is_no_error() -> None:
    with subprocess.Popen(
        [*PROGRAM, "presets", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""


def test_a_narrow_encoding_is_no_error() -> None:
    run = subprocess.run(
        [*PROGRAM, "presets", "show", "./中文.yaml"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"},
        check=False,
    )
    assert run.returncode == 2
    assert rb"\u4e2d" in run.stderr


def test_a_variable_shows_what_a_run_does_with_the_time_of_each(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, float32: None
) -> None:
    folder = str(tiny.folder(tmp_path / "model"))
    generate = ("generate", "-p", "a", "-m", folder, "--method", "ngram", "-n", "4", "--quiet")
    plain = specdec(*generate)
    assert (plain.code, plain.err) == (0, "")
    monkeypatch.setenv("SPECDEC_LOG", "info")
    logged = specdec(*generate)
    assert logged.out == plain.out
    assert re.search(rf"(?m)^[-0-9]{{10}} [:,0-9]{{12}} INFO \w+: Loading {re.escape(folder)}$", logged.err)
    monkeypatch.setenv("SPECDEC_LOG", "loud")
    refused = specdec("--version")
    assert (refused.code, "SPECDEC_LOG cannot be 'loud'" in refused.err) == (2, True)
    monkeypatch.delenv("SPECDEC_LOG")
    monkeypatch.setenv("SPECDEC_LOGS", "info")
    assert "Did you mean SPECDEC_LOG?" in specdec(*generate).err
