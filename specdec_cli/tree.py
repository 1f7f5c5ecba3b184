"""The token tree: what a drafter guesses, a target scores in one pass, and a verifier walks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROOT = -1


@dataclass(frozen=True, slots=True)
class TokenTree:
    """N guessed tokens, each the child of an earlier one or of the root.

    The root is the last committed token; it is not part of the tree. Node `i` guesses the token that
    follows its parent. Nodes are ordered so that a parent stands before its children, and siblings in
    the order in which a verifier must look at them.

    Attributes:
        tokens: (N) token ids.
        parents: (N) index of each node's parent, or `ROOT`.
        proposals: (N) the distribution (V,) that each token was really drawn from, given its earlier
            siblings; None where it was chosen without chance. Empty means None for every node.
        scores: (N) cumulative log-probability of each node by which the drafter ranks; may be empty.
    """

    tokens: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    proposals: tuple[Tensor | None, ...] = ()
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens need as many parents, not {len(self.parents)}")
        if self.proposals and len(self.proposals) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens need as many proposals, not {len(self.proposals)}")
        if any(not ROOT <= parent < node for node, parent in enumerate(self.parents)):
            raise ValueError("a parent must stand before its children")

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def chain(cls, tokens: Sequence[int], proposals: Sequence[Tensor | None] = ()) -> TokenTree:
        """The tree without branches: each token follows the one before it."""
        return cls(tuple(tokens), tuple(range(ROOT, len(tokens) - 1)), tuple(proposals))

    @property
    def is_chain(self) -> bool:
        """Whether every node follows the one before it."""
        return self.parents == tuple(range(ROOT, len(self) - 1))

    def children(self) -> list[list[int]]:
        """Children of the root, then of node 0, 1, ...: N + 1 lists, so node `i` is at `i + 1`."""
        found: list[list[int]] = [[] for _ in range(len(self) + 1)]
        for node, parent in enumerate(self.parents):
            found[parent + 1].append(node)
        return found

    def depths(self) -> list[int]:
        """Depth of each node; children of the root have depth 1."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent == ROOT else depths[parent] + 1)
        return depths

    def proposal(self, node: int, like: Tensor) -> Tensor:
        """The distribution (V,) that the token was drawn from, on the device and in the dtype of `like`.

        A token chosen without chance was drawn from the distribution that is certain of it.
        """
        known = self.proposals[node] if self.proposals else None
        if known is not None:
            return known.to(like)
        certain = torch.zeros_like(like)
        certain[self.tokens[node]] = 1
        return certain
