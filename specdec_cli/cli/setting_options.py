"""Options of commands that are settings, made from their rules: a flag has one name and one help text.

A command says which settings it takes, and of every other one why it does not:

    @takes_settings("target", "draft", "gamma", sweep=("gamma",), leaves_out={"stop": "..."})
    def measure(*, n_tests: CountOption = 10, given: Given, quiet: QuietOption = False) -> None: ...

Typer then finds an option for each of the settings where `given` stands, and the command gets the values that
were given in one mapping. Where a setting has no option, a variable or a preset may still set it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from specdec_cli.settings import DEFAULTS, RULES
from specdec_cli.settings.fields import type_of

Given = Mapping[str, Any]
Command = Callable[..., None]
SWEEP = "Sweep"  # the panel of settings that sweep


@dataclass(frozen=True, slots=True)
class Taken:
    """What a command has of the settings.

    Attributes:
        options: settings that it has an option for, in the order of its help.
        sweep: those of them whose options take lists and ranges.
        left_out: setting to the reason why it has none.
    """

    options: tuple[str, ...]
    sweep: tuple[str, ...]
    left_out: Mapping[str, str]


def takes_settings(
    *settings: str,
    leaves_out: Mapping[str, str],
    sweep: Sequence[str] = (),
    usual: Mapping[str, object] | None = None,
    worded: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Give a command options for settings, in the place of its parameter `given`.

    Panels come in the order in which `settings` first names one of theirs; within a panel the command's own
    options stand first, and then settings in the order of the rules.

    Args:
        settings: names in `RULES`.
        leaves_out: every other setting, and why the command has no option for it.
        sweep: of the settings, those that take lists and ranges, as text.
        usual: what the command does where nothing is said, for its help, where that is not the default.
        worded: setting to another whose panel, help and default describe it better here.

    Raises:
        ValueError: a name that is no setting, one that is both taken and left out, one that sweeps and is not
            taken or whose help says something else, or a command without a parameter `given`.
    """
    usual, worded = usual or {}, worded or {}
    unknown = {*settings, *leaves_out, *sweep, *usual, *worded, *worded.values()} - RULES.keys()
    if unknown:
        raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
    contradictions = {*settings} & {*leaves_out} | {*sweep} - {*settings} | {*sweep} & {*usual, *worded}
    if contradictions:
        raise ValueError(f"these settings contradict each other: {', '.join(sorted(contradictions))}")
    options = [
        _swept(name) if name in sweep else _parameter(name, worded.get(name, name), usual.get(name))
        for name in _ordered(settings, sweep, worded)
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in settings}
            given = {name: value for name, value in given.items() if value is not None and value != []}
            command(**arguments, given=given)

        inspected = signature(command, eval_str=True)
        if "given" not in inspected.parameters:
            raise ValueError(f"{command.__name__} has no parameter `given`")
        parameters = _placed(list(inspected.parameters.values()), options)
        attributes = run.__dict__
        attributes["__signature__"] = inspected.replace(parameters=parameters)
        attributes["taken"] = Taken(tuple(each.name for each in options), tuple(sweep), dict(leaves_out))
        run.__annotations__ = {}  # all of them are in the signature, evaluated
        return run

    return decorate


def taken_by(command: Callable[..., Any]) -> Taken | None:
    """Which settings a command takes; None if it is none that `takes_settings` made."""
    found = getattr(command, "taken", None)
    return found if isinstance(found, Taken) else None


def because(reason: str, *settings: str) -> dict[str, str]:
    """One reason for several settings."""
    return dict.fromkeys(settings, reason)


def swept_and_shared(given: Given, sweep: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """What was given for settings that sweep, as written, and for the others."""
    swept = {name: str(value) for name, value in given.items() if name in sweep}
    return swept, {name: value for name, value in given.items() if name not in sweep}


def _ordered(settings: Sequence[str], sweep: Sequence[str], worded: Mapping[str, str]) -> list[str]:
    """The settings, panel by panel, within a panel in the order of the rules."""
    rules = list(RULES)
    panels = [SWEEP if name in sweep else RULES[worded.get(name, name)].panel for name in settings]
    by_panel = {name: panels.index(panel) for name, panel in zip(settings, panels, strict=True)}
    return sorted(settings, key=lambda name: (by_panel[name], rules.index(worded.get(name, name))))


def _parameter(name: str, words: str, usual: object) -> Parameter:
    """A setting as a parameter that Typer makes an option of; None says that it was not given."""
    rule, default = RULES[words], DEFAULTS[words] if usual is None else usual
    about = [rule.help]
    if rule.choices:
        about.append(f"One of {', '.join(rule.choices)}.")
    if default is None:
        about.append(f"\\[default: {rule.unset}]")
    elif default != () and default is not False:
        about.append(f"\\[default: {default}]")
    option = typer.Option(*_flags(name), help=" ".join(about), rich_help_panel=rule.panel, show_default=False)
    return _optional(name, _kind(name), option)


def _swept(name: str) -> Parameter:
    """A setting that sweeps, alike."""
    option = typer.Option(*_flags(name), help=f"{RULES[name].help} Sweeps.", rich_help_panel=SWEEP)
    return _optional(name, str, option)


def _optional(name: str, kind: Any, option: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _flags(name: str) -> tuple[str, ...]:
    """A switch has two sides, so that a flag can undo a preset."""
    flag = name.replace("_", "-")
    switch = f"--{flag}/--no-{flag}" if type_of(name)[0] is bool else f"--{flag}"
    return RULES[name].flags or (switch,)


def _kind(name: str) -> Any:
    """What Typer reads; what is written in several ways stays text until the settings are checked."""
    rule, kind = RULES[name], type_of(name)[0]
    if kind == tuple[str, ...] and not rule.listed:
        return list[str]
    return kind if kind in (bool, int, float) and not (rule.text or rule.words) else str


def _placed(own: list[Parameter], options: list[Parameter]) -> list[Parameter]:
    """The parameters of a command, with the options where `given` stands."""
    index = [each.name for each in own].index("given")
    before, after = own[:index], own[index + 1 :]
    panels = [_panel(each) for each in options]
    ahead = [each for each in before if _panel(each) in panels]
    ranked = sorted([*ahead, *options], key=lambda each: panels.index(_panel(each)))
    return [*(each for each in before if each not in ahead), *ranked, *after]


def _panel(parameter: Parameter) -> str | None:
    """Where `--help` shows an option; None for where it shows those without a panel."""
    described = getattr(parameter.annotation, "__metadata__", (None,))[0]
    return getattr(described, "rich_help_panel", None)
