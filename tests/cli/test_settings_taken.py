"""Each command takes every setting as an option, or says beside its options why it does not."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from specdec_cli import cli
from specdec_cli.cli.app import app
from specdec_cli.cli.setting_options import SWEEP, Taken, taken_by
from specdec_cli.settings import RULES
from specdec_cli.settings.fields import type_of

SOURCES = sorted(Path(cli.__file__).parent.glob("*.py"))
WITHOUT_SETTINGS = {
    "report": "a log says what its runs were set to",
    "compare": "two logs say what their runs were set to",
    "evaluate": "answers are scored, and no model of a run is loaded",
    "models list": "the registry is shown",
    "presets list": "presets are shown",
    "presets show": "all settings are shown as a preset, variables and defaults make them",
    "trees show": "its tree is an argument",
}


def walked() -> Iterator[tuple[str, Any]]:
    """The commands of the program, by their names."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield " ".join(path), command
        for name, each in (below or {}).items():
            yield from walk(each, (*path, name))

    return walk(typer.main.get_command(app), ())


COMMANDS = dict(walked())
TAKEN = {name: found for name, each in COMMANDS.items() if (found := taken_by(each.callback)) is not None}


def unaccounted(setting: str, taken: Taken) -> str | None:
    """What is wrong with how a command speaks of a setting; None where nothing is."""
    reason = taken.left_out.get(setting)
    if setting in taken.options:
        return None if reason is None else "it is taken, and left out too"
    if reason is None:
        return "it is neither taken nor left out"
    return None if len(reason.split()) >= 3 else "it is left out without a reason"


@pytest.mark.parametrize("setting", RULES)
@pytest.mark.parametrize("command", TAKEN)
def test_every_setting_is_taken_or_left_out_for_a_reason(command: str, setting: str) -> None:
    assert unaccounted(setting, TAKEN[command]) is None


def test_every_command_takes_settings_or_needs_none() -> None:
    assert {*TAKEN, *WITHOUT_SETTINGS} == set(COMMANDS)
    assert TAKEN.keys().isdisjoint(WITHOUT_SETTINGS)


def test_a_new_rule_an_empty_reason_and_a_contradiction_are_seen() -> None:
    taken = TAKEN["generate"]
    assert unaccounted("a_new_rule", taken) == "it is neither taken nor left out"
    mute = replace(taken, left_out={**taken.left_out, "gammas": " "})
    assert unaccounted("gammas", mute) == "it is left out without a reason"
    both = replace(taken, left_out={**taken.left_out, "target": "there is no target here"})
    assert unaccounted("target", both) == "it is taken, and left out too"


def options_of(command: str) -> Mapping[str, Any]:
    """The options of a command, by the names of its parameters; arguments are none."""
    return {each.name: each for each in COMMANDS[command].params if each.param_type_name == "option"}


@pytest.mark.parametrize("command", COMMANDS)
def test_options_named_like_settings_are_made_of_them(command: str) -> None:
    taken = TAKEN.get(command, Taken((), (), {}))
    own = {name for name in options_of(command) if name in RULES} - {*taken.options}
    assert {name for name in own if "option of its own here" not in taken.left_out.get(name, "")} == set()


@pytest.mark.parametrize("command", TAKEN)
def test_an_option_is_as_its_rule_says(command: str) -> None:
    taken, options = TAKEN[command], options_of(command)
    for name in taken.options:
        option, rule, flag = options[name], RULES[name], name.replace("_", "-")
        flags = [part for each in rule.flags or (f"--{flag}",) for part in each.split("/")[:1]]
        assert option.opts == flags
        switch = type_of(name)[0] is bool
        assert option.secondary_opts == (
            [] if not switch else ["--raw"] if name == "chat" else [f"--no-{flag}"]
        )
        assert option.default is None
        assert not option.required
        assert (option.rich_help_panel == SWEEP) == (name in taken.sweep)
        assert option.multiple == (name == "stop")
        if name in taken.sweep:
            assert option.help == f"{rule.help} Sweeps."
    assert set(taken.sweep) <= set(taken.options)


SHORT = {"-m": "target", "-d": "draft", "-t": "temperature", "-n": "max_tokens", "-k": "gamma"}


@pytest.mark.parametrize("command", TAKEN)
def test_short_flags_mean_one_setting_in_every_command(command: str) -> None:
    for name, option in options_of(command).items():
        assert [SHORT[each] for each in option.opts if each in SHORT] == (
            [name] if name in SHORT.values() else []
        )


def test_every_setting_is_an_option_of_generate_but_those_of_other_algorithms() -> None:
    left = set(TAKEN["generate"].left_out)
    assert left == {"gammas", "algorithm", "verify_models", "window_size", "max_words", "fast_decoder",
                    "self_vote", "feedback", "learning_rate", "scoring"}  # fmt: skip


def calls_locals(source: str) -> bool:
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("locals", "vars", "globals")
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_command_reads_its_own_variables(path: Path) -> None:
    assert not calls_locals(path.read_text(encoding="utf-8"))


def test_a_command_that_does_is_seen() -> None:
    assert calls_locals("def f(x=1):\n    return settings(locals())")
    assert not calls_locals("def f(x=1):\n    return settings({'x': x})")


# Modules of commands, and those of other commands that a command runs.
RUNS = {"ensemble": {"generate", "specem"}}
IN_COMMANDS = {each.callback.__module__.rpartition(".")[2] for each in COMMANDS.values()} | {"specem"}


def commands_imported(name: str, source: str) -> set[str]:
    """The modules of other commands that the module of a command imports, but for those that it runs."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "specdec_cli.cli":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("specdec_cli.cli."):
            found.add(str(node.module).rpartition(".")[2])
    return (found & IN_COMMANDS) - {name} - RUNS.get(name, set())


@pytest.mark.parametrize("name", sorted(IN_COMMANDS))
def test_commands_do_not_import_each_other(name: str) -> None:
    source = (Path(cli.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    assert commands_imported(name, source) == set()


def test_an_import_of_another_command_is_seen() -> None:
    for source in (
        "from specdec_cli.cli.bench import names_of",
        "from specdec_cli.cli import bench, options",
    ):
        assert commands_imported("audit", source) == {"bench"}
    assert commands_imported("ensemble", "from specdec_cli.cli import generate") == set()
