"""Presets and resolved settings as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from specdec_cli.models.estimate import PROMPT, estimate, estimate_draft
from specdec_cli.reporting.plan import needs_text
from specdec_cli.settings import DEFAULTS, RULES, Preset, Resolved

NOTHING = "-"


def presets_table(presets: Sequence[Preset]) -> Table:
    """One row a preset; a dash where it leaves the setting to the default."""
    table = Table(title="Presets", caption="Memory for weights of 16 bits and a cache.", show_lines=True)
    longest = max(len(preset.name) for preset in presets)
    table.add_column("Name\nDescription", min_width=longest)
    for heading in ("Target\nDraft\nMethod", "Needs"):
        table.add_column(heading, overflow="fold")
    for preset in presets:
        target, draft, method = (_own(preset, setting) for setting in ("target", "draft", "method"))
        about = Text.assemble((preset.name, "bold"), f"\n{preset.description}")
        table.add_row(about, f"{target}\n{draft}\n{method}", _needs(preset))
    return table


def _needs(preset: Preset) -> str:
    """Memory at 16 bits a weight for the models that it names, and whether they come from a hub."""
    values = {name: value for name, (value, _) in preset.values.items()}
    if "target" not in values:
        return preset.needs or NOTHING
    name, draft = str(values["target"]), values.get("draft")
    tokens = PROMPT + int(str(values.get("max_tokens", DEFAULTS["max_tokens"])))
    target = estimate("target", name, itemsize=2, tokens=tokens)
    other = estimate_draft(None if draft is None else str(draft), target, itemsize=2, tokens=tokens)
    return needs_text([target, *([other] if other else [])], preset.needs)


def settings_table(resolved: Resolved, preset: Preset | None) -> Table:
    """One row a setting: its value, and where it came from."""
    table = Table(title=f"Settings with preset {preset.name}" if preset else "Settings")
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
