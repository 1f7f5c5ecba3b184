"""The seam between bookkeeping and arithmetic: what one pass reads, and what computes it.

`runner.py` decides which token stands in which row and what it may see; a `Forward` computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass reads.

    Attributes:
        tokens: (n,) token ids.
        positions: (n,) their positions in the text; siblings share one.
        start: rows already in the cache; the new ones follow.
        visible: (n, start + n) whether a new row may look at a row; None is every row up to itself.
        row_positions: (start + n,) positions of all rows.
        keep: how many of the last rows need logits.
    """

    tokens: Tensor
    positions: Tensor
    start: int
    visible: Tensor | None
    row_positions: Tensor
    keep: int


class Forward(Protocol):
    """Computes passes and keeps the keys and values of all rows."""

    @property
    def width(self) -> int:
        """Size V of a row of logits."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tokens are expected and logits come out."""
        ...

    def reserve(self, rows: int) -> None:
        """Make room in the cache for this many rows, keeping those in use."""
        ...

    def move(self, rows: Tensor, to: int) -> None:
        """Copy cache rows (n,), ascending and none before `to`, to `to`, `to + 1`, ..."""
        ...

    def run(self, step: Pass) -> Tensor:
        """Read the rows into the cache: logits (keep, V)."""
        ...


def causal(start: int, rows: int, device: torch.device) -> Tensor:
    """What the rows from `start` on see when each sees all up to itself: (rows - start, rows)."""
    row = torch.arange(rows, device=device)
    return row <= row[start:, None]
