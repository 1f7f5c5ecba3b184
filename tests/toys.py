"""Toy models with a known law, in float64: the next token's distribution is a table of the text so far."""

import random
from dataclasses import dataclass, field

import torch

from specdec_cli.tree import ROOT


class ToyLaw:
    """A distribution for every text, made up from a seed; `zeros` lets some tokens be impossible."""

    def __init__(self, width, seed, zeros=False):
        self.width, self.seed, self.zeros = width, seed, zeros
        self._known = {}

    def __call__(self, text):
        text = tuple(text)
        if text not in self._known:
            chance = random.Random(f"{self.seed} {text}")
            weights = [0.0] * self.width
            while not any(weights):
                weights = [float(chance.randint(0 if self.zeros else 1, 9)) for _ in range(self.width)]
            probs = torch.tensor(weights, dtype=torch.float64)
            self._known[text] = probs / probs.sum()
        return self._known[text]


class GreedyLaw(ToyLaw):
    """The same law at temperature 0: certain of its likeliest token."""

    def __call__(self, text):
        probs = super().__call__(text)
        return torch.nn.functional.one_hot(probs.argmax(), self.width).double()


@dataclass
class ToyTarget:
    """The role of target, played by a law."""

    law: ToyLaw
    forward_seconds: float = 0.0
    text: list = field(default_factory=list)

    def begin(self, prompt):
        self.text = list(prompt)

    def score(self, tree):
        texts = [list(self.text)]
        for token, parent in zip(tree.tokens, tree.parents, strict=True):
            texts.append([*texts[parent + 1], token])
        return torch.stack([self.law(text) for text in texts])

    def commit(self, path, tokens):
        self.text += tokens


@dataclass
class ToyDraftModel:
    """A draft model, played by a law: its logits are log-probabilities. It checks how it is used."""

    law: ToyLaw
    context: int = 10**6
    forward_seconds: float = 0.0
    text: list = field(default_factory=list)
    nodes: list = field(default_factory=list)
    passes: int = 0

    @property
    def free_positions(self):
        return self.context - len(self.text)

    def begin(self, tokens):
        self.text, self.nodes = list(tokens), []

    def root(self):
        self.nodes = []
        self.passes += 1
        return self.law(self.text).log()

    def grow(self, tokens, parents):
        assert len(tokens) == len(parents) > 0
        self.passes += 1
        for token, parent in zip(tokens, parents, strict=True):
            before = [] if parent == ROOT else self.nodes[parent]
            self.nodes.append([*before, token])
        return torch.stack([self.law(self.text + node).log() for node in self.nodes[-len(tokens) :]])

    def commit(self, path, tokens):
        for depth, node in enumerate(path, 1):
            assert self.nodes[node] == list(tokens[:depth]), "a committed node is not what was emitted"
        self.text += tokens
        self.nodes = []
