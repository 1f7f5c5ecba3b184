"""What tests of data sets share: what is said of one that cannot be read, and a stand-in for the library."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from specdec_cli.errors import InputError
from specdec_cli.evaluation.datasets import read_dataset

Write = Callable[[str, str | bytes], str]


def refusal(name: str, count: int | None = None, start: int = 0) -> str:
    """The problem and the hint, as the user reads them."""
    with pytest.raises(InputError) as refused:
        read_dataset(name, count, start)
    return f"{refused.value.problem} {refused.value.hint}"


def stand_in_library(monkeypatch: pytest.MonkeyPatch, rows: object) -> list[dict[str, Any]]:
    """Stands in for the `datasets` library; what it was asked for."""
    asked: list[dict[str, Any]] = []

    def load_dataset(**options: object) -> Any:
        asked.append(options)
        if isinstance(rows, Exception):
            raise rows
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked
