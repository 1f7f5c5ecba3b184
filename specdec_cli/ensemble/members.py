"""The models of an ensemble: each a runner of its own, its passes counted, under one declared law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from specdec_cli.engine.roles import Share
from specdec_cli.ensemble.combiners import Combiner
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.tree import TokenTree


class Reader(Protocol):
    """A language model that reads a text and guesses beyond it, as `models.runner.Runner` does."""

    @property
    def forward_seconds(self) -> float:
        """Seconds spent in forward passes so far."""
        ...

    @property
    def free_positions(self) -> int:
        """Positions left in the context after the committed text."""
        ...

    def begin(self, tokens: Sequence[int]) -> None:
        """Start a new text and read all of it but the last token."""
        ...

    def score(self, tree: TokenTree) -> Tensor:
        """Logits that follow the text and each node, in one pass: (N + 1, V). Drops any earlier tree."""
        ...

    def read_on(self, tokens: Sequence[int]) -> Tensor:
        """Read pending text, then nodes that continue the chain.

        Logits that follow the text, if any of it was pending, and each new node: (n or n + 1, V).
        """
        ...

    def advance(self, tokens: Sequence[int]) -> None:
        """The first nodes of the chain become text; those behind them stay."""
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append `tokens` to the text, the nodes of `path` being the first of them; drop the others."""
        ...


@dataclass(slots=True, eq=False)
class Member:
    """A model of an ensemble.

    Attributes:
        reader: its runner, which no other member uses.
        name: what the user called it.
        size: what a pass of it costs, in any unit; bytes of weights will do.
        vocab_size: of its logits.
        context: positions that it can tell apart.
        calls: passes so far, those over the prompt left out.
    """

    reader: Reader
    name: str
    size: float
    vocab_size: int
    context: int
    calls: int = 0

    @property
    def forward_seconds(self) -> float:
        return self.reader.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        """Start a new text and read all of it but the last token."""
        self.reader.begin(prompt)

    def score(self, tree: TokenTree) -> Tensor:
        """Logits that follow the text and each node: (N + 1, V)."""
        self.calls += 1
        return self.reader.score(tree)

    def read_on(self, tokens: Sequence[int]) -> Tensor:
        """Logits that follow pending text, if there is any, and each of the nodes that continue the chain."""
        self.calls += 1
        return self.reader.read_on(tokens)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append tokens to the text, the nodes of `path` first; drop the other nodes."""
        self.reader.commit(path, tokens)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models that act as one, under a declared law.

    Attributes:
        members: the models, in the order in which the combiner takes them.
        combiner: the law.
        sampling: temperature and filters.
        weights: of an average of probabilities, which is a mixture; None for every other law.
    """

    members: tuple[Member, ...]
    combiner: Combiner
    sampling: Sampling
    weights: tuple[float, ...] | None = None

    @property
    def vocab_size(self) -> int:
        """Size V of the vocabulary that all share; what a model pads beyond it has no chance."""
        return min(member.vocab_size for member in self.members)

    @property
    def is_mixture(self) -> bool:
        """Whether drawing one of the models and then its token follows the law."""
        return self.weights is not None and not self.sampling.is_greedy

    def law(self, rows: Sequence[Tensor]) -> Tensor:
        """The distribution (V,) of the next token, from every member's logits."""
        return self.combiner.law([self._shared(row) for row in rows], self.sampling)

    def settled(self, rows: Mapping[int, Tensor]) -> Tensor | None:
        """The law, if some members' logits settle it; see `Combiner.settled`."""
        return self.combiner.settled({index: self._shared(row) for index, row in rows.items()}, self.sampling)

    def own(self, row: Tensor) -> Tensor:
        """What one member by itself would draw from: (V,)."""
        return distribution(self._shared(row), self.sampling)

    def shares_since(self, calls: Sequence[int]) -> tuple[Share, ...]:
        """Each member's calls since there were that many."""
        return tuple(Share(member.calls - before) for member, before in zip(self.members, calls, strict=True))

    def calls(self) -> tuple[int, ...]:
        """Each member's calls so far."""
        return tuple(member.calls for member in self.members)

    def _shared(self, row: Tensor) -> Tensor:
        return row[..., : self.vocab_size]
