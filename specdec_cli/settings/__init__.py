"""Preset, environment and flags become one frozen Settings, with every value checked and its origin known."""

from specdec_cli.settings.fields import DEFAULTS, RULES, Settings
from specdec_cli.settings.loading import Resolved, load_settings, require_tokens, settings_from
from specdec_cli.settings.presets import Preset, find_preset, list_presets
from specdec_cli.settings.rules import Rule
from specdec_cli.settings.single import DTYPES, VERIFIERS
from specdec_cli.settings.sizes import parse_size

__all__ = [
    "DEFAULTS",
    "DTYPES",
    "RULES",
    "VERIFIERS",
    "Preset",
    "Resolved",
    "Rule",
    "Settings",
    "find_preset",
    "list_presets",
    "load_settings",
    "parse_size",
    "require_tokens",
    "settings_from",
]
