"""Presets and resolved settings as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from rich.text import Text

from specdec_cli.models.memory_estimate import PROMPT, estimate, estimate_draft
from specdec_cli.reporting.plan import needs_text
from specdec_cli.reporting.table import FittedTable, names, texts
from specdec_cli.settings import DEFAULTS, RULES, Preset, Resolved
from specdec_cli.settings.draft_spec import parse_draft

NOTHING = "-"


def presets_table(presets: Sequence[Preset]) -> FittedTable:
    """One row a preset; a dash where it leaves the setting to the default."""
    columns = [*names("Name\nDescription"), *texts("Target\nDraft\nMethod", "Needs")]
    table = FittedTable(columns, "Presets", "Memory for weights of 16 bits and a cache.")
    for preset in presets:
        models, method = _own(preset, "models"), _own(preset, "method")
        about = Text.assemble((preset.name, "bold"), f"\n{preset.description}")
        named = models if models != NOTHING else f"{_own(preset, 'target')}\n{_own(preset, 'draft')}"
        table.add_row(about, f"{named}\n{method}", _needs(preset))
        table.add_section()
    return table


def _needs(preset: Preset) -> str:
    """Memory at 16 bits a weight for the models that it names, and whether they come from a hub."""
    values = {name: value for name, (value, _) in preset.values.items()}
    names = _models(values)
    if not names:
        return preset.needs or NOTHING
    tokens = PROMPT + int(str(values.get("max_tokens", DEFAULTS["max_tokens"])))
    sized = partial(estimate_draft, itemsize=2, cached=2, tokens=tokens)
    target = estimate("target", names[0], itemsize=2, cached=2, tokens=tokens)
    others = (sized(parse_draft(name), target) for name in names[1:])
    return needs_text([target, *(each for each in others if each is not None)], preset.needs)


def _models(values: Mapping[str, object]) -> list[str]:
    """The target first, then drafts or the other models of an ensemble, as far as a preset names them."""
    named = values.get("models")
    if isinstance(named, list | tuple):
        return [str(each) for each in named]
    return [str(values[name]) for name in ("target", "draft") if values.get(name) and "target" in values]


def settings_table(resolved: Resolved, preset: Preset | None) -> FittedTable:
    """One row a setting: its value, and where it came from."""
    title = f"Settings with preset {preset.name}" if preset else "Settings"
    table = FittedTable([*names("Setting"), *texts("Value", "From")], title)
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
    value = preset.values[setting][0] if setting in preset.values else NOTHING
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _shown(setting: str, value: object) -> str:
    if value is None:
        return f"({RULES[setting].unset})"
    if value in RULES[setting].words.values():
        return next(word for word, number in RULES[setting].words.items() if number == value)
    if value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(repr(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
