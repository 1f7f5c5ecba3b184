"""What a draft policy is given and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from specdec_cli.sampling.randomness import Randomness, drafting


class Children(NamedTuple):
    """Up to k children of each of n nodes, in the order in which a verifier must look at them.

    Attributes:
        tokens: (n, k) tokens, each by its index in the distributions that it was chosen from.
        exists: (n, k) False where a node ran out of tokens; what its token says is then of no meaning.
        proposals: k entries, each the distributions (n, R) that the column was really drawn from given the
            columns before it, or None where it was chosen without chance.
        certain: (n, k) True where a token was chosen without chance although its column has proposals.
    """

    tokens: Tensor
    exists: Tensor
    proposals: Sequence[Tensor | None]
    certain: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """Chance for the children of n nodes of one level; a call draws one child of each.

    Attributes:
        randomness: where it comes from.
        position: of the children in the text.
        start: position at which the step began.
        firsts: number of each node's first child in the tree, so that no two draws share a key.
    """

    randomness: Randomness
    position: int
    start: int
    firsts: Sequence[int]

    def __call__(self, probs: Tensor, sibling: int) -> Tensor:
        """Draw the `sibling`-th child of every node from probs (n, R): (n,), their indices there."""
        keys = [drafting(self.position, self.start, first + sibling) for first in self.firsts]
        return self.randomness.categoricals(probs, keys)

    def of(self, rows: Sequence[int]) -> Draws:
        """The same for some of the nodes."""
        return Draws(self.randomness, self.position, self.start, [self.firsts[row] for row in rows])


class Policy(Protocol):
    """Chooses children. What it does may depend on the draft's distributions, never on what it has drawn.

    To look at a drawn token before deciding whether to keep it, or which of two to keep, would make the
    proposal another distribution than the one recorded, and the text would no longer be the target's.
    """

    def __call__(self, draft: Tensor, count: int, draws: Draws) -> Children:
        """`count` children for each row of the draft's distributions (n, R) over the tokens that it knows."""
        ...


def without(probs: Tensor, tokens: Tensor) -> Tensor:
    """The distributions (n, V) without tokens (n,) or (n, m), normalised; zero if nothing is left."""
    left = probs.scatter(-1, tokens[:, None] if tokens.dim() == 1 else tokens, 0.0)
    total = left.sum(-1, keepdim=True)
    return torch.where(total > 0, left / total, 0.0)


def filled(children: Children, count: int, draft: Tensor, ranking: Tensor) -> Children:
    """`count` children for every row: missing ones are the likeliest tokens that the draft gives no chance.

    A greedy draft, or one whose nucleus is small, has fewer tokens than a tree has nodes for; a target with
    another favourite may still say one of these. They are chosen without chance, and by the draft alone: a
    policy runs out of tokens only where it has guessed all that have any probability.

    Args:
        children: what the policy chose.
        count: of children wanted.
        draft: (n, V) what it chose from.
        ranking: (n, V) a distribution by which to rank what has no probability there; what has none here
            either is not in the draft's vocabulary, and is never guessed.
    """
    rows, had = children.tokens.shape
    missing = torch.ones((rows, count), dtype=torch.bool, device=draft.device)
    missing[:, :had] = ~children.exists
    if not bool(missing.any()):
        return children
    left = torch.where(draft > 0, -1.0, ranking)
    spare = left.topk(min(count, left.shape[-1]), dim=-1)
    rank = (missing.cumsum(-1) - 1).clamp_(min=0, max=spare.indices.shape[-1] - 1)
    tokens = torch.zeros((rows, count), dtype=torch.int64, device=draft.device)
    tokens[:, :had] = children.tokens
    found = missing & (spare.values.gather(-1, rank) > 0) & (missing.cumsum(-1) <= spare.indices.shape[-1])
    tokens = torch.where(found, spare.indices.gather(-1, rank), tokens)
    certain = found.clone()
    if children.certain is not None:
        certain[:, :had] |= children.certain
    proposals = [*children.proposals, *[None] * (count - had)]
    return Children(tokens, found | ~missing, proposals, certain)
