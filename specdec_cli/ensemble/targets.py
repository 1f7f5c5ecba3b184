"""An ensemble in the role of target: every member scores the tree, and the rows become one law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.sampling.randomness import Randomness, choosing, drafting, emitting
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Rows, Verdict

ENDLESS = 1 << 30  # levels of guesses: a member that must read its text again does so by itself


class Scored(Protocol):
    """One member's logits for a tree, by row."""

    def __getitem__(self, row: int, /) -> Tensor:
        """Logits (V,) that follow the root (row 0) or node `row` - 1."""
        ...


class Scorer(Protocol):
    """What an ensemble needs of a member to judge a tree."""

    @property
    def forward_seconds(self) -> float:
        """Seconds spent in forward passes so far."""
        ...

    def begin(self, prompt: Sequence[int]) -> None:
        """Start a new text."""
        ...

    def score(self, tree: TokenTree) -> Scored:
        """Logits that follow the text and each node."""
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Learn what became of the tree."""
        ...


class CombinedRows:
    """The ensemble's distributions for a tree, each combined when it is asked for: row `i` to (V,).

    Args:
        ensemble: the law.
        scored: every member's logits, in the members' order.
    """

    def __init__(self, ensemble: Ensemble, scored: Sequence[Scored]) -> None:
        self._ensemble = ensemble
        self._scored = scored

    def __getitem__(self, row: int) -> Tensor:
        first, *others = [each[row] for each in self._scored]
        return self._ensemble.law([first, *(other.to(first.device) for other in others)])


class EnsembleTarget:
    """Scores trees with every member; see `engine.roles.Target`.

    Args:
        ensemble: the law.
        scorers: the members, in their order; for the one that proposes, its `ProposerRows`.
    """

    reach = ENDLESS

    def __init__(self, ensemble: Ensemble, scorers: Sequence[Scorer]) -> None:
        self._ensemble = ensemble
        self._scorers = scorers

    @property
    def forward_seconds(self) -> float:
        return sum(scorer.forward_seconds for scorer in self._scorers)

    def begin(self, prompt: Sequence[int]) -> None:
        for scorer in self._scorers:
            scorer.begin(prompt)

    def score(self, tree: TokenTree) -> CombinedRows:
        return CombinedRows(self._ensemble, [scorer.score(tree) for scorer in self._scorers])

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        for scorer in self._scorers:
            scorer.commit(path, tokens)


class Proposer:
    """A member that drafts a chain; see `drafting.base.Drafter`.

    Its logits on the way are what the ensemble needs of it to judge the chain, so nothing is computed twice.
    Only the row after the last token is missing, and it is computed if the whole chain is accepted: then the
    ensemble's own law is known there, and the step emits one token more.

    Args:
        member: the one that drafts.
        ensemble: whose sampling it drafts at.
        gamma: tokens in a chain.
    """

    def __init__(self, member: Member, ensemble: Ensemble, gamma: int) -> None:
        self._member = member
        self._ensemble = ensemble
        self._gamma = gamma
        self._rows: list[Tensor] = []
        self._tokens: list[int] = []

    @property
    def forward_seconds(self) -> float:
        return self._member.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._member.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        length = min(self._gamma, depth, self._member.reader.free_positions)
        self._rows, self._tokens = [], []
        proposals: list[Tensor] = []
        for step in range(length):
            proposals.append(self._ensemble.own(self.row(step)))
            self._tokens.append(randomness.categorical(proposals[-1], drafting(position + step, position)))
        return TokenTree.chain(self._tokens, proposals)

    def row(self, number: int) -> Tensor:
        """Logits (V,) that follow the text (0) or token `number` of the chain, computed once."""
        if number == len(self._rows):
            self._rows.append(self._member.read_on(self._tokens[number - 1 : number])[-1])
        return self._rows[number]

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        read = max(len(self._rows) - 1, 0)
        self._member.commit([node for node in path if node < read], tokens)


class ProposerRows:
    """The proposer as a `Scorer`: its rows were computed while it drafted.

    Args:
        proposer: the drafter that the member is.
    """

    forward_seconds = 0.0

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer

    def begin(self, prompt: Sequence[int]) -> None:
        """Nothing to do: the same member begins as the drafter."""

    def score(self, tree: TokenTree) -> ProposerRows:
        return self

    def __getitem__(self, row: int) -> Tensor:
        return self._proposer.row(row)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Nothing to do: the same member commits as the drafter."""


class MixtureTarget:
    """`--exec mixture`: an average of probabilities of which one term at a time is computed.

    In the role of `engine.roles.Target`. To draw a member by its weight and then a token of its own law is to
    draw a token of the average.

    Args:
        ensemble: one whose law is such an average, so that it has weights.

    Attributes:
        chosen: index of the member that was asked last.
    """

    reach = ENDLESS

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self.chosen = 0

    @property
    def forward_seconds(self) -> float:
        return sum(member.forward_seconds for member in self._ensemble.members)

    def begin(self, prompt: Sequence[int]) -> None:
        for member in self._ensemble.members:
            member.begin(prompt)

    def score(self, tree: TokenTree) -> MixtureTarget:
        """Nothing yet: which member is asked is left to `draw_a_member`."""
        return self

    def __getitem__(self, index: int) -> Tensor:
        """The distribution (V,) of the next token by the member of that index."""
        self.chosen = index
        return self._ensemble.own(self._ensemble.members[index].score(TokenTree())[0])

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        for member in self._ensemble.members:
            member.commit(path, tokens)

    def draw_a_member(self, tree: TokenTree, target: Rows, randomness: Randomness, position: int) -> Verdict:
        """Draw a member by its weight, then its token: a sample of the average, for one pass.

        The others read the token with those that they are asked about next.
        """
        weights = torch.tensor(self._ensemble.weights or (), dtype=torch.float64)
        index = randomness.categorical(weights, choosing(position))
        return Verdict((), randomness.categorical(target[index], emitting(position)))
