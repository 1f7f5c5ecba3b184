"""Presets and resolved settings as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from specdec_cli.settings import RULES, Preset, Resolved


def presets_table(presets: Sequence[Preset]) -> Table:
    """One row a preset; a dash where it leaves the setting to the default."""
    table = Table(title="Presets", show_lines=True)
    table.add_column("Name", no_wrap=True)
    for heading in ("Description", "Target\nDraft", "Method", "Needs"):
        table.add_column(heading, overflow="fold")
    for preset in presets:
        target, draft, method = (_own(preset, setting) for setting in ("target", "draft", "method"))
        table.add_row(preset.name, preset.description, f"{target}\n{draft}", method, preset.needs or "-")
    return table


def settings_table(resolved: Resolved, preset: Preset) -> Table:
    """One row a setting: its value, and where it came from."""
    table = Table(title=f"Settings with preset {preset.name}")
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("From", overflow="fold")
    for setting, value in asdict(resolved.settings).items():
        table.add_row(setting.replace("_", "-"), _shown(setting, value), resolved.origins[setting])
    return table


def settings_record(resolved: Resolved, preset: Preset) -> dict[str, object]:
    """The same for JSON, with the preset's texts."""
    return {
        "preset": preset.name,
        "description": preset.description,
        "source": preset.source,
        "needs": preset.needs,
        "settings": asdict(resolved.settings),
        "origins": resolved.origins,
    }


def _own(preset: Preset, setting: str) -> str:
    return str(preset.values[setting][0]) if setting in preset.values else "-"


def _shown(setting: str, value: object) -> str:
    if value is None:
        return f"({RULES[setting].unset})"
    if value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(repr(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
