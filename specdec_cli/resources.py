"""Where the files that travel with the program lie: inside the installed package, else in the checkout."""

from __future__ import annotations

import json
from pathlib import Path

PACKAGE = Path(__file__).parent


def presets_folder() -> Path:
    """The folder of the shipped presets, one YAML file each."""
    return _shipped("presets")


def data_folder() -> Path:
    """The folder of the shipped prompts and drafts."""
    return _shipped("data")


def shipped_prompts() -> list[str]:
    """The shipped prompts, in their order."""
    lines = (data_folder() / "prompts.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["prompt"] for line in lines if line]


def shipped_drafts() -> dict[str, Path]:
    """The folders of the shipped drafts, by name."""
    folder = data_folder() / "drafts"
    return {each.name: each for each in sorted(folder.iterdir()) if each.is_dir()} if folder.is_dir() else {}


def shipped_openings() -> list[str]:
    """First words of user turns, for a target that writes training text."""
    openings: list[str] = json.loads((data_folder() / "openings.json").read_text(encoding="utf-8"))
    return openings


def _shipped(name: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name
