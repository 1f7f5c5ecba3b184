"""Presets of one's own."""

from pathlib import Path

import pytest
from refused_settings import MakePreset


@pytest.fixture
def preset(tmp_path: Path) -> MakePreset:
    """Writes a preset file and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write
