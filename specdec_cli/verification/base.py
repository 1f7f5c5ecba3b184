"""What a verifier sees and what it says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from specdec_cli.errors import NotFiniteError
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree

HINT = "Choose another --draft, or another --dtype: its weights overflow, or its file is damaged."


class Rows(Protocol):
    """The target's distributions: row 0 follows the root, row `i + 1` follows node `i`."""

    def __getitem__(self, row: int, /) -> Tensor:
        """The distribution of the next token there: (V,)."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier decides.

    Attributes:
        path: indices of the nodes that survive, from the root down.
        next_token: the id that follows them.
    """

    path: tuple[int, ...]
    next_token: int


def capped_ratio(above: float, target: float, proposal: float) -> float:
    """min(1, above * target / proposal), and 0 where that is no number: such a guess is never accepted."""
    ratio = above * target / proposal if proposal else math.nan
    return min(ratio, 1.0) if ratio >= 0 else 0.0


def proposal_of(tree: TokenTree, node: int, row: Tensor) -> Tensor:
    """The distribution (V,) that a node's token was drawn from, on the device and in the dtype of `row`.

    Raises:
        NotFiniteError: it holds NaN or infinity. What a draft claims to have drawn from decides what is
            accepted: judged by such numbers, the text would be the draft's and not the target's.
    """
    proposal = tree.proposal(node, row)
    if not math.isfinite(float(proposal.sum())):
        raise NotFiniteError("The draft's guesses come with probabilities that are not finite numbers.", HINT)
    return proposal


class Verifier(Protocol):
    """Decides which path of a tree survives and which token follows it."""

    def __call__(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        """Judge a tree whose first level stands at `position` of the text.

        The tokens of the path and the one that follows are distributed as the target's own would be.

        Args:
            tree: what was guessed.
            target: its distributions.
            randomness: chance; every draw has a key of its own.
            position: of the first level, in tokens from the beginning of the prompt.

        Raises:
            NotFiniteError: the target's or the draft's distributions hold NaN or infinity.
        """
        ...
