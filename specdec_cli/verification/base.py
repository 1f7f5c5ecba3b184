"""What a verifier sees and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree


class Rows(Protocol):
    """The target's distributions: row 0 follows the root, row `i + 1` follows node `i`."""

    def __getitem__(self, row: int, /) -> Tensor:
        """The distribution of the next token there: (V,)."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """The path of nodes that survives, from the root down, and the token that follows it."""

    path: tuple[int, ...]
    next_token: int


class Verifier(Protocol):
    """Decides which path of a tree survives and which token follows it."""

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        """Judge a tree whose first level stands at `position` of the text.

        The tokens of the path and the one that follows are distributed as the target's own would be.
        """
        ...
