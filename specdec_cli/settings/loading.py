"""The strongest of flag, environment, preset and default for each setting, checked before anything loads."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS, canonical
from specdec_cli.settings.checks import check_together
from specdec_cli.settings.fields import DEFAULTS, RULES, Settings, type_of
from specdec_cli.settings.presets import Preset, find_preset, suggestion
from specdec_cli.settings.values import READERS, SEVERAL

PREFIX = "SPECDEC_"
PRESET_VARIABLE = "SPECDEC_PRESET"
OTHER_VARIABLES = (PRESET_VARIABLE, "SPECDEC_CACHE", "SPECDEC_DEBUG", "SPECDEC_LOG")
ONLY_BY_FLAG = ("trust_remote_code",)
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and what each came from: flag, SPECDEC_NAME, preset NAME or default."""

    settings: Settings
    origins: dict[str, str]


def require_tokens(resolved: Resolved) -> Resolved:
    """The same settings, if they are for commands that decode token by token.

    Raises:
        InputError: a preset or a variable names an algorithm of segments, which only `ensemble` runs.
    """
    algorithm, origin = resolved.settings.algorithm, resolved.origins["algorithm"]
    if algorithm is None:
        return resolved
    kind, _, name = origin.partition(" ")
    source = f"The {origin}" if kind == "preset" else f"The variable {origin}"
    given = f"--preset {name}" if kind == "preset" else f"--algorithm {algorithm}"
    problem = f"{source} asks for {algorithm}, which this command does not run."
    raise InputError(problem, f"Use `specdec ensemble {given}`, or leave it out.")


class _Given(NamedTuple):
    """A value, its origin as `Resolved` has it, and how a message points at it."""

    value: object
    origin: str
    place: str


def load_settings(
    preset: str | None = None,
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str] = os.environ,
    leave_out: Collection[str] = (),
) -> Resolved:
    """Settings from, strongest first: flags, SPECDEC_* variables, the preset, the defaults.

    Args:
        preset: name or path; None for the one that SPECDEC_PRESET names, if any.
        flags: setting to value; None and empty lists count as not given.
        environ: the environment; empty variables count as not set.
        leave_out: settings that the preset and the environment shall not decide.

    Raises:
        InputError: an unknown name, a value that its setting does not take, or one that only a flag may give;
            nothing was loaded yet.
    """
    name = environ.get(PRESET_VARIABLE) or None if preset is None else preset
    layers = (
        {setting: _Given(value, "default", setting) for setting, value in DEFAULTS.items()},
        _without(leave_out, {} if name is None else _from_preset(find_preset(name))),
        _without(leave_out, _from_environment(environ)),
        _from_flags(flags),
    )
    checked: dict[str, Any] = {}
    given: dict[str, _Given] = {}
    for layer in layers:
        here = {setting: _checked(setting, one) for setting, one in layer.items()}
        _require_flag(here, layer)
        checked |= here
        given |= layer
    _settle_ensemble(checked, given)
    settings = Settings(**checked)
    check_together(settings, {setting: one.place for setting, one in given.items()})
    return Resolved(settings, {setting: one.origin for setting, one in given.items()})


def settings_from(recorded: Mapping[str, object], place: str) -> Settings:
    """Settings that a log or a trace kept; what this version does not know of them is left out.

    Args:
        recorded: setting to value.
        place: where they stand, for messages.

    Raises:
        InputError: a value that its setting does not take.
    """
    found: dict[str, Any] = {}
    for name, value in recorded.items():
        if name in RULES:
            words = {number: word for word, number in RULES[name].words.items()}
            given = words.get(value, value) if type(value) is int else value
            found[name] = _checked(name, _Given(given, place, f"{place}: {name}"))
    return Settings(**found)


def _require_flag(checked: Mapping[str, object], given: Mapping[str, _Given]) -> None:
    """Refuse what only a flag may allow: a file or a variable can be another person's."""
    for setting in ONLY_BY_FLAG:
        if checked.get(setting) and given[setting].origin != "flag":
            option = f"--{setting.replace('_', '-')}"
            problem = f"{given[setting].place} cannot be switched on there: it lets a model run its own code."
            raise InputError(
                problem, f"Leave it out, and add {option} to the command if you trust the model."
            )


def _settle_ensemble(checked: dict[str, Any], given: dict[str, _Given]) -> None:
    """Let an ensemble's one `gamma` be its first proposer's, and its first model the target."""
    ensemble = METHODS[checked["method"]].is_ensemble
    newer = given["gamma"].origin == "flag" != given["gammas"].origin
    if ensemble and given["gamma"].origin != "default" and (newer or not checked["gammas"]):
        checked["gammas"], given["gammas"] = (checked["gamma"],), given["gamma"]
    if checked["models"]:
        first, named = checked["models"][0], given["target"]
        if ensemble and named.origin == "flag" and checked["target"] != first:
            problem = f"{named.place} {checked['target']} is not the first of the models, {first}."
            raise InputError(problem, "Leave --target out: --models names all of them.")
        if ensemble or named.origin == "default":
            checked["target"], given["target"] = first, given["models"]._replace(origin="the first model")


def _without(names: Collection[str], given: dict[str, _Given]) -> dict[str, _Given]:
    return {setting: one for setting, one in given.items() if setting not in names}


def _from_preset(preset: Preset) -> dict[str, _Given]:
    return {
        setting: _Given(value, f"preset {preset.name}", f"{preset.path}, line {line}: {setting}")
        for setting, (value, line) in preset.values.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    known = {f"{PREFIX}{setting.upper()}": setting for setting in RULES}
    given = {}
    for variable, text in environ.items():
        if variable in known and text:
            value = _listed(text) if known[variable] == "stop" else text
            given[known[variable]] = _Given(value, variable, variable)
        elif variable.startswith(PREFIX) and variable not in (*known, *OTHER_VARIABLES):
            near = get_close_matches(variable, (*known, *OTHER_VARIABLES), n=1, cutoff=0.75)
            if near:  # others may be somebody else's: clusters name variables after their services
                raise InputError(f"The variable {variable} names no setting.", f"Did you mean {near[0]}?")
    return given


def _listed(text: str) -> object:
    """The list that a JSON text spells; any other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    given = {}
    for setting, value in flags.items():
        if setting not in RULES:
            raise InputError(f"There is no setting {setting!r}.", suggestion(setting))
        several = setting == "gamma" and isinstance(value, str) and SEVERAL.search(value)
        if value is not None and value != () and value != []:
            place = f"--{setting.replace('_', '-')}"
            given["gammas" if several else setting] = _Given(value, "flag", place)
    return given


def _checked(setting: str, given: _Given) -> object:
    """The value in the setting's own type, if it takes it."""
    rule, kind, optional = RULES[setting], *type_of(setting)
    if setting == "method" and isinstance(given.value, str):
        given = given._replace(value=canonical(given.value))
    if given.value is None and optional:
        return None
    read, expected = READERS[kind]
    try:
        return read(given.value, rule)
    except (ValueError, OverflowError):
        expected = f"{expected.format(longest=rule.longest, most=rule.most)} {rule.limits}".strip()
        expected = f"one of {', '.join(rule.choices)}" if rule.choices else expected
        problem = f"{given.place} must be {expected}, not {_shown(given.value)}."
        raise InputError(problem, _hint(setting, given.value)) from None


def _shown(value: object) -> str:
    """A value as messages have it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _hint(setting: str, value: object) -> str:
    rule = RULES[setting]
    near = get_close_matches(value.lower(), rule.choices, n=1) if isinstance(value, str) else []
    if near:
        return f"Did you mean {near[0]}?"
    default = DEFAULTS[setting]
    return rule.hint or f"The default is {rule.unset or 'none' if default in (None, ()) else default}."
