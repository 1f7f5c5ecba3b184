"""What a command does where neither a flag, nor a variable, nor the preset says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from specdec_cli.settings import Resolved, Settings, load_settings


def or_usual(resolved: Resolved, usual: Mapping[str, Any]) -> Settings:
    """The settings, those that nobody gave being the command's usual ones."""
    unsaid = {name: value for name, value in usual.items() if resolved.origins[name] == "default"}
    return replace(resolved.settings, **unsaid)


def method_of(preset: str | None, usual: str = "specexec") -> str:
    """The method that a preset or the environment names, or the usual ones."""
    resolved = load_settings(preset, flags={})
    return usual if resolved.origins["method"] == "default" else resolved.settings.method
