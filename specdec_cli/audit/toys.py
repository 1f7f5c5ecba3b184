"""Toy models with a known law, in float64: the next token's distribution is a table of the text so far."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from specdec_cli.audit.enumeration import TargetLaw
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.tree import ROOT, TokenTree


class ToyLaw:
    """A distribution for every text, made up from a seed; with `zeros` some tokens are impossible."""

    def __init__(self, vocab_size: int, seed: int, zeros: bool = False) -> None:
        self.vocab_size, self.seed, self.zeros = vocab_size, seed, zeros
        self._known: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, text: Sequence[int]) -> Tensor:
        text = tuple(text)
        if text not in self._known:
            chance = random.Random(f"{self.seed} {text}")
            weights = [0.0] * self.vocab_size
            while not any(weights):
                weights = [float(chance.randint(0 if self.zeros else 1, 9)) for _ in range(self.vocab_size)]
            self._known[text] = self._finish(torch.tensor(weights, dtype=torch.float64))
        return self._known[text]

    def _finish(self, weights: Tensor) -> Tensor:
        return weights / weights.sum()


class SampledLaw(ToyLaw):
    """The same made-up weights as logits, under a sampling: a temperature, a nucleus, or greedy."""

    def __init__(self, vocab_size: int, seed: int, sampling: Sampling) -> None:
        super().__init__(vocab_size, seed)
        self.sampling = sampling

    def _finish(self, weights: Tensor) -> Tensor:
        return distribution(weights.log(), self.sampling)

    def under(self, sampling: Sampling) -> SampledLaw:
        """The law of the same weights under another sampling."""
        return SampledLaw(self.vocab_size, self.seed, sampling)


@dataclass
class ToyTarget:
    """The role of target, played by a law."""

    law: TargetLaw
    forward_seconds: float = 0.0
    reach: int = 10**6
    text: list[int] = field(default_factory=list)

    def begin(self, prompt: Sequence[int]) -> None:
        self.text = list(prompt)

    def score(self, tree: TokenTree) -> Tensor:
        texts = [list(self.text)]
        for token, parent in zip(tree.tokens, tree.parents, strict=True):
            texts.append([*texts[parent + 1], token])
        return torch.stack([self.law(text) for text in texts])

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self.text += tokens


class MisuseError(Exception):
    """A draft model was told of something that did not happen."""


@dataclass
class ToyDraftModel:
    """A draft model, played by a law: its logits are log-probabilities, of the tokens of its vocabulary if it
    has one. It checks how it is used.
    """

    law: TargetLaw
    context: int = 10**6
    vocabulary: Tensor | None = None
    forward_seconds: float = 0.0
    text: list[int] = field(default_factory=list)
    nodes: list[list[int]] = field(default_factory=list)
    passes: int = 0

    @property
    def free_positions(self) -> int:
        return self.context - len(self.text)

    def begin(self, tokens: Sequence[int]) -> None:
        self.text, self.nodes = list(tokens), []

    def root(self) -> Tensor:
        self.nodes = []
        self.passes += 1
        return self._logits(self.text)

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        if not 0 < len(tokens) == len(parents):
            raise MisuseError("every node needs one parent")
        self.passes += 1
        for token, parent in zip(tokens, parents, strict=True):
            before = [] if parent == ROOT else self.nodes[parent]
            self.nodes.append([*before, token])
        return torch.stack([self._logits(self.text + node) for node in self.nodes[-len(tokens) :]])

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        for depth, node in enumerate(path, 1):
            if self.nodes[node] != list(tokens[:depth]):
                raise MisuseError("a committed node is not what was emitted")
        self.text += tokens
        self.nodes = []

    def _logits(self, text: Sequence[int]) -> Tensor:
        logits = self.law(text).log()
        return logits if self.vocabulary is None else logits[self.vocabulary]
