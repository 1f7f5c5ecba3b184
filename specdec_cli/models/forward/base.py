"""The seam between bookkeeping and arithmetic: what one pass reads, and what computes it.

`runner/model_runner.py` decides which token stands in which row and what it may see; a `Forward` computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.models.forward.rotary import RotaryScaling


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass reads.

    Attributes:
        tokens: (n,) token ids.
        positions: (n,) their positions in the text; siblings share one.
        start: rows already in the cache; the new ones follow.
        visible: (n, start + n) whether a new row may look at a row; None is every row up to itself.
        text: how many of all rows are text; the others are nodes of a tree.
        depths: of those nodes, all of them.
        keep: how many of the last rows need logits.
        features: (n, hidden) the target's hidden state before each row, for a draft that reads them.
        lengths: (n,) tokens of the text that each row is rotated for; see `Forward.rotary_scaling`.
    """

    tokens: Tensor
    positions: Tensor
    start: int
    visible: Tensor | None
    text: int
    depths: Sequence[int]
    keep: int
    features: Tensor | None = None
    lengths: Sequence[int] = ()

    def row_positions(self) -> Tensor:
        """Positions of all rows: (start + n,)."""
        nodes = torch.tensor(self.depths, dtype=torch.int64) + (self.text - 1)
        return torch.cat((torch.arange(self.text), nodes)).to(self.tokens.device)


class Forward(Protocol):
    """Computes passes and keeps the keys and values of all rows."""

    @property
    def vocab_size(self) -> int:
        """Size V of the whole vocabulary."""
        ...

    @property
    def readable(self) -> int:
        """Rows of the embedding: ids from here on cannot be read."""
        ...

    @property
    def vocabulary(self) -> Tensor | None:
        """(R,) the ids, ascending, that `run` gives logits for; None where it gives all, in order."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tokens are expected and logits come out."""
        ...

    @property
    def features(self) -> Tensor:
        """(n, hidden) what the output layer saw of the rows of the last pass, after `keep_features`."""
        ...

    @property
    def rotary_scaling(self) -> RotaryScaling | None:
        """How rotary positions depend on the length of the text; None where they do not."""
        ...

    @property
    def by_row(self) -> bool:
        """Whether each row's attention is computed by itself, there being no faster way here."""
        ...

    @property
    def bitwise(self) -> bool:
        """Whether a row's logits are the same bits in every pass that holds it: batch invariance."""
        ...

    def keep_features(self) -> None:
        """Make `features` from now on."""
        ...

    def reserve(self, rows: int) -> None:
        """Make room in the cache for this many rows, keeping those in use."""
        ...

    def move(self, rows: Tensor, to: int) -> None:
        """Copy cache rows (n,), ascending and none before `to`, to `to`, `to + 1`, ..."""
        ...

    def run(self, step: Pass) -> Tensor:
        """Read the rows into the cache: logits (keep, R), over `vocabulary`."""
        ...


def causal(start: int, rows: int, device: torch.device) -> Tensor:
    """What the rows from `start` on see when each sees all up to itself: (rows - start, rows)."""
    row = torch.arange(rows, device=device)
    return row <= row[start:, None]
