"""Two distributions on one vocabulary in few numbers: the tokens that matter, and classes of the rest.

The rest is not one lump: its tokens are sorted into classes by the ratio of target to draft, since that ratio
is what verifiers look at. A class keeps its number of tokens and both of its masses. Read back, every token
of a class has the class's mean probability, so that

- the probability of each kept token is exact (to the digits kept), and so is each class's mass;
- sum(min(target, draft)), the acceptance of one draft sample, is exact, since 1 is an end of a class;
- what looks at the rest in another way (a second sibling's residual, a block's ratios, a nucleus that reaches
  beyond the kept tokens) is approximate, by no more than the masses of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.storage.numbers import Amount, Count, Id

RATIOS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DIGITS = 7


@dataclass(frozen=True, slots=True)
class Row:
    """The target's and the draft's distribution of the next token after one text, shortened.

    Attributes:
        tokens: (k) ids that are kept.
        target: (k) their probabilities.
        draft: (k) the draft's; empty where it was not asked.
        rest: classes of the other tokens: how many, the target's mass, the draft's mass.
    """

    tokens: tuple[Id, ...]
    target: tuple[Amount, ...]
    draft: tuple[Amount, ...]
    rest: tuple[tuple[Count, Amount, Amount], ...]


def truncate(target: Tensor, draft: Tensor | None, top: int, also: Iterable[int] = ()) -> Row:
    """Keep the `top` likeliest tokens of each, and some others.

    Args:
        target: (V,) the law.
        draft: (V,) the draft's distribution, if it was asked.
        top: how many of each.
        also: further ids to keep.
    """
    target = target.detach().cpu().double()
    draft = None if draft is None else draft.detach().cpu().double()
    kept = set(also)
    for probs in (target, draft):
        if probs is not None:
            best = probs.topk(min(top, len(probs)))
            kept |= {int(token) for token in best.indices[best.values > 0]}
    tokens = sorted(kept)
    others = torch.ones(len(target), dtype=torch.bool)
    others[tokens] = False
    left = target[others]
    right = torch.zeros_like(left) if draft is None else draft[others]
    return Row(
        tokens=tuple(tokens),
        target=_short(target[tokens]),
        draft=() if draft is None else _short(draft[tokens]),
        rest=_classes(left, right),
    )


def restored(row: Row, vocab_size: int) -> tuple[Tensor, Tensor | None]:
    """The target's and the draft's distribution (V,) again, with means for what was not kept."""
    target = torch.zeros(vocab_size)
    draft = torch.zeros(vocab_size)
    others = torch.ones(vocab_size, dtype=torch.bool)
    tokens = list(row.tokens)
    others[tokens] = False
    counts = torch.tensor([count for count, _, _ in row.rest])
    for column, masses, kept in ((target, 1, row.target), (draft, 2, row.draft)):
        means = torch.tensor([each[masses] / each[0] for each in row.rest])
        if row.rest:
            column[others] = means.repeat_interleave(counts)
        column[tokens] = torch.tensor(kept or [0.0] * len(tokens))
    return target, draft if row.draft else None


def _classes(target: Tensor, draft: Tensor) -> tuple[tuple[int, float, float], ...]:
    """Number and masses of the tokens in each class that has any; what the target never says is apart."""
    edges = torch.tensor(RATIOS, dtype=target.dtype)
    classes = torch.bucketize(target / draft, edges, right=True) + 1
    classes = torch.where(target > 0, classes, 0)
    counts = torch.bincount(classes).tolist()
    masses = (_short(torch.bincount(classes, weights=probs)) for probs in (target, draft))
    return tuple(each for each in zip(counts, *masses, strict=True) if each[0])


def _short(probs: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{each:.{DIGITS}g}") for each in probs.tolist())
