"""Values of presets, variables and flags in their settings' own types; a ValueError where they are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from specdec_cli.settings.rules import Rule

TRUTHS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
SEVERAL = re.compile("[,:]")  # between whole numbers; a sweep keeps commas for itself


def _text(value: object, rule: Rule) -> str:
    if not isinstance(value, str) or (rule.choices and value not in rule.choices):
        raise ValueError
    if not value and not rule.empty:
        raise ValueError
    if len(value) > rule.longest:
        raise ValueError
    value.encode()  # a lone surrogate is no text
    return value


def _texts(value: object, rule: Rule) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else (value,)
    if rule.listed:
        parts = [each for part in parts for each in (part.split(",") if isinstance(part, str) else (part,))]
    if len(parts) > rule.most:
        raise ValueError
    if rule.listed:
        return tuple(_text(str(part).strip(), rule) for part in parts)  # numbers are weights
    return tuple(_text(part, rule) for part in parts)


def _truth(value: object, rule: Rule) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in TRUTHS:
        return TRUTHS[value.strip().lower()]
    raise ValueError


def _whole(value: object, rule: Rule) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    if isinstance(value, str) and value in rule.words:
        return rule.words[value]
    number = int(value)
    if not rule.admits(number) or abs(number) >= 2**63:
        raise ValueError
    return number


def _wholes(value: object, rule: Rule) -> tuple[int, ...]:
    parts = SEVERAL.split(value) if isinstance(value, str) else value
    parts = parts if isinstance(parts, list | tuple) else (parts,)
    if len(parts) > rule.most:
        raise ValueError
    return tuple(_whole(part, rule) for part in parts)


def _number(value: object, rule: Rule) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    number = float(value)
    if not rule.admits(number):
        raise ValueError
    return number


READERS: dict[Any, tuple[Callable[[object, Rule], Any], str]] = {
    str: (_text, "text of at most {longest:,} characters"),
    tuple[str, ...]: (
        _texts,
        "text or a list of at most {most} texts, none of them empty or of more than {longest:,} characters",
    ),
    tuple[int, ...]: (_wholes, "at most {most} whole numbers, such as 1,5, each"),
    bool: (_truth, "true or false"),
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
}
