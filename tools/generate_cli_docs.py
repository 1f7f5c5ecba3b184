"""Writes docs/cli.md from the finished program: every command, option and setting as they are.

    python tools/generate_cli_docs.py            # writes docs/cli.md
    python tools/generate_cli_docs.py --check    # ends with 1 if it is not what would be written

It asks the parser that the program runs, so it does not matter how a command came by its options.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from specdec_cli import errors
from specdec_cli.cli.app import app
from specdec_cli.cli.interrupts import HEEDED, OFFSET
from specdec_cli.cli.setting_options import taken_by
from specdec_cli.settings import DEFAULTS, RULES
from specdec_cli.settings.fields import type_of
from specdec_cli.settings.loading import ONLY_BY_FLAG, OTHER_VARIABLES, PREFIX

OUTPUT = Path(__file__).parents[1] / "docs" / "cli.md"
PROGRAM = "specdec"
PLAIN_PANEL = "Options"
LATER = "\\[default:"  # how help texts say what is not the parser's own default
POWERS: dict[Any, str] = {2**31: "2^31", 2**31 - 1: "2^31 - 1", 2**63 - 1: "2^63 - 1"}
KINDS: dict[Any, str] = {bool: "switch", int: "whole number", float: "number", str: "text", Path: "path"}

HEAD = """# The command line

<!-- Written by tools/generate_cli_docs.py (`make docs`): change the program, and write it anew. -->

Every command with its options, all settings, and the exit codes; `--help` says the same of one command. A
setting may also be given by the variable beside it, or by a preset: a flag goes before a variable, that
before a preset, and that before the default.
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Write the document, or compare it with what would be written."""
    wanted = document()
    if "--check" in arguments:
        return int(not OUTPUT.is_file() or OUTPUT.read_text(encoding="utf-8") != wanted)
    OUTPUT.write_text(wanted, encoding="utf-8")
    return 0


def document() -> str:
    """The whole text of docs/cli.md."""
    root = typer.main.get_command(app)
    found = list(_commands(root, PROGRAM))
    contents = [f"| [`{path}`](#{_anchor(path)}) | {_first_sentence(each.help)} |" for path, each in found]
    parts = [HEAD, "| command | what it does |\n| --- | --- |\n" + "\n".join(contents), *_shared(root)]
    parts += [_command(path, each) for path, each in found]
    return "\n\n".join(part.strip() for part in (*parts, _settings(), _variables(), _exit_codes())) + "\n"


def _commands(click: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it, in the order of `--help`."""
    for name, each in click.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, f"{path} {name}")
        else:
            yield f"{path} {name}", each


def _shared(root: Any) -> list[str]:
    return ["## For every command", _options(root.params, frozenset())]


def _command(path: str, click: Any) -> str:
    """One command: what it does, how it is called, its arguments, and its options panel by panel."""
    arguments = [each for each in click.params if each.param_type_name == "argument"]
    needed = [each for each in click.params if each.required and each not in arguments]
    words = [path, "[OPTIONS]", *(f"{each.opts[0]} {each.name.upper()}" for each in needed)]
    parts = [f"## {path}", _prose(click.help), f"```\n{' '.join([*words, *map(_synopsis, arguments)])}\n```"]
    if arguments:
        rows = [(f"`{each.name.upper()}`", _help(each)[0]) for each in arguments]
        parts.append(_table(("argument", "what it is"), rows))
    taken = taken_by(click.callback)
    settings = frozenset() if taken is None else frozenset(taken.options)
    for panel, options in _panels(click).items():
        parts += [f"**{panel}**", _options(options, settings)]
    return "\n\n".join(parts)


def _panels(click: Any) -> dict[str, list[Any]]:
    """Options by panel, those without one first."""
    found: dict[str, list[Any]] = {PLAIN_PANEL: []}
    for each in click.params:
        if each.param_type_name == "option" and not each.hidden:
            found.setdefault(each.rich_help_panel or PLAIN_PANEL, []).append(each)
    return {panel: options for panel, options in found.items() if options}


def _options(options: Sequence[Any], settings: Collection[str]) -> str:
    """A table of options; where some are settings, with their variables."""
    head, rows = ["option", "takes", "what it does"], [_row(each, settings) for each in options]
    if any(each.name in settings for each in options):
        head.append("variable")
        rows = [[*row, _variable(each.name, settings)] for row, each in zip(rows, options, strict=True)]
    return _table(head, rows)


def _row(option: Any, settings: Collection[str]) -> list[str]:
    """An option: its names, what it takes, and what it does."""
    text, default = _help(option)
    if option.name in settings and RULES[option.name].choices:
        text = text.removesuffix(f"One of {', '.join(RULES[option.name].choices)}.")
    if option.is_flag:
        default = f"`{option.opts[0]}`" if "True" in (default, str(option.default)) else default
    elif not default and option.default not in (None, ()):
        default = _shown(option.default)
    about = [text.strip(), "Required." if option.required else "", f"Default: {default}." if default else ""]
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = _kind(option.name) if option.name in settings and not option.is_flag else _takes(option)
    return [names, takes, " ".join(filter(None, about))]


def _takes(option: Any) -> str:
    """The kind of an option's value, with its range or choices, or nothing for a switch."""
    kind = option.type_descriptor.annotation
    if option.is_flag:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{each.value}`" for each in kind)
    several = "; may be repeated" if option.multiple else ""
    name = KINDS[get_args(kind)[0] if option.multiple else kind]
    return f"{_within(name, option.min, option.max)}{several}"


def _within(kind: str, low: float | None, high: float | None, above: float | None = None) -> str:
    """A kind of number and its range."""
    if low is not None and high is not None:
        return f"{kind}, {_shown(low)} to {_shown(high)}"
    ends = [f"at least {_shown(low)}"] if low is not None else []
    ends += [f"above {_shown(above)}"] if above is not None else []
    ends += [f"at most {_shown(high)}"] if high is not None else []
    return ", ".join(filter(None, (kind, " and ".join(ends))))


def _variable(name: str, settings: Collection[str]) -> str:
    variable = f"{PREFIX}{name.upper()}"
    is_read = variable in OTHER_VARIABLES or (name in settings and name not in ONLY_BY_FLAG)
    return f"`{variable}`" if is_read else ""


def _help(parameter: Any) -> tuple[str, str]:
    """What a parameter is for, and its default where the help text says it."""
    text, _, default = " ".join((parameter.help or "").split()).partition(LATER)
    return _prose(text), _prose(default.strip().removesuffix("]"))


def _settings() -> str:
    rows = []
    for name, rule in RULES.items():
        default = rule.unset or "none" if DEFAULTS[name] in (None, ()) else _shown(DEFAULTS[name])
        variable = "only by its flag" if name in ONLY_BY_FLAG else f"`{PREFIX}{name.upper()}`"
        rows.append((f"`{name}`", _kind(name), _prose(default), variable, _prose(rule.help)))
    head = "By the name that presets and JSON have for them; options have dashes instead."
    return (
        f"## Settings\n\n{head}\n\n{_table(('setting', 'takes', 'default', 'variable', 'what it is'), rows)}"
    )


def _kind(name: str) -> str:
    """What a setting takes."""
    rule, kind = RULES[name], type_of(name)[0]
    if rule.choices:
        return ", ".join(f"`{each}`" for each in rule.choices)
    several = "" if kind in KINDS else "; several"
    base = KINDS[kind if kind in KINDS else get_args(kind)[0]]
    number = _within(base, rule.low, rule.high, rule.above)
    return ", or ".join([number, *(f"`{word}`" for word in rule.words)]) + several


def _variables() -> str:
    about = {
        "SPECDEC_PRESET": "the preset, where `--preset` names none",
        "SPECDEC_CACHE": "folder of fetched and converted models",
        "SPECDEC_DEBUG": "anything but `0` and `false`: as `--debug`",
        "SPECDEC_LOG": "`info` or `debug`: what a run does, as lines on stderr",
    }
    rows = [(f"`{name}`", about[name]) for name in OTHER_VARIABLES]
    return f"## Other variables\n\n{_table(('variable', 'what it is'), rows)}"


def _exit_codes() -> str:
    about = {
        "RUNTIME": "an error while running: logits that are not finite, a hub that cannot be reached",
        "USAGE": "a flag, a preset, a variable or a file that cannot be used as given",
        "MISMATCH": "models that do not fit together, or that a method cannot drive",
        "NO_ROOM": "not enough memory or disk",
        "CHECK_FAILED": "an audit failed, texts differ that `identical` says are the same bit for bit, or a "
        "comparison was below what was asked",
        "INTERRUPTED": "interrupted (Ctrl-C), with what was generated kept",
    }
    ended = "ended by {}, with what was generated kept"
    codes = {getattr(errors, name): text for name, text in about.items()}
    codes |= {OFFSET + each: ended.format(each.name) for each in HEEDED if each != signal.SIGINT}
    rows = [("0", "done"), *((str(code), text) for code, text in sorted(codes.items()))]
    return f"## Exit codes\n\n{_table(('code', 'what it means'), rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each.replace('|', chr(92) + '|') for each in line)} |" for line in lines)


def _synopsis(argument: Any) -> str:
    name = f"{argument.name.upper()}{'...' if argument.nargs == -1 else ''}"
    return name if argument.required else f"[{name}]"


def _shown(value: Any) -> str:
    """A value as it is typed."""
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in POWERS:
        return POWERS[value]
    return f"{value:,}" if type(value) is int and value >= 10_000 else " ".join(str(value).split())


def _prose(text: str | None) -> str:
    """A text of the program as Markdown: no markup of screens, nothing that Markdown reads as its own."""
    plain = " ".join((text or "").split()).replace("\\[", "[")
    parts = re.split(r"(`[^`]*`)", plain)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_<])", r"\\\1", part) for part in parts
    ).strip()


def _first_sentence(text: str | None) -> str:
    return re.split(r"(?<=[.?])\s", _prose(text))[0]


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
