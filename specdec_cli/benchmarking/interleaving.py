"""What is compared runs in turn, each once before and uncounted, so that none is favoured by when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from specdec_cli.settings import Settings

WARM_UP_TOKENS = 8
Compared = TypeVar("Compared")


def turned(compared: Sequence[Compared], turn: int) -> list[Compared]:
    """All of them, beginning `turn` further on, so that from turn to turn another one is first."""
    first = turn % len(compared)
    return [*compared[first:], *compared[:first]]


def warm_up(settings: Settings) -> Settings:
    """The settings of a run of a few tokens that is not counted."""
    return replace(settings, max_tokens=min(WARM_UP_TOKENS, settings.max_tokens))
