"""How settings are refused; the fixture `preset` in tests/settings writes the files that are."""

from collections.abc import Callable
from typing import Any

import pytest

from specdec_cli.errors import InputError
from specdec_cli.settings import load_settings

MakePreset = Callable[[str], str]


def refusal(preset: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    """The problem and the hint, as the user reads them."""
    with pytest.raises(InputError) as refused:
        load_settings(preset, flags=flags, environ=environ or {})
    return f"{refused.value.problem} {refused.value.hint}"
