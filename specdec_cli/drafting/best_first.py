"""The budgeted tree of the likeliest continuations, best first.

Svirschevski et al. (2024), SpecExec, https://arxiv.org/abs/2406.02532: a parallel search for the `budget`
nodes of highest cumulative log-probability under the draft. Nothing is drawn by chance, so the tree may be
cut and reordered at will.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from specdec_cli.drafting.base import DraftModel
from specdec_cli.drafting.budget import TreeBudget
from specdec_cli.drafting.ranking import Ranking
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree


@dataclass(frozen=True, slots=True)
class TreeShape:
    """Limits of a best-first tree.

    Attributes:
        budget: nodes in the tree.
        beams: nodes expanded in one draft pass.
        depth: draft passes, and so levels, at most.
        branches: children considered for each expanded node.
        min_log_prob: least cumulative log-probability of a node, if any.
        decay: factor on each level's probability; below 1 it favours shallow nodes.
    """

    budget: int
    beams: int
    depth: int
    branches: int
    min_log_prob: float | None = None
    decay: float = 0.95


@dataclass(slots=True)
class _Node:
    token: int
    parent: int
    score: float
    depth: int
    row: int | None = None  # its number in the draft model's tree, once it was expanded


class BestFirstDrafter:
    """Grows the tree whose nodes the draft thinks likeliest, expanding the best few nodes in each pass.

    Args:
        model: the draft.
        shape: limits of the tree.
        ranking: how children are ranked.
        vocab_size: of the target's vocabulary.
        size_budget: weighs the tree against its time, and ends it early; None fills `shape.budget`.
    """

    def __init__(
        self,
        model: DraftModel,
        shape: TreeShape,
        ranking: Ranking,
        vocab_size: int,
        size_budget: TreeBudget | None = None,
    ) -> None:
        self._model = model
        self._size_budget = size_budget
        self._shape = shape
        self._ranking = ranking
        self._vocabulary = DraftVocabulary(model.vocabulary, vocab_size)
        self._rows: list[int | None] = []

    @property
    def forward_seconds(self) -> float:
        return self._model.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._rows = []
        self._model.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        self._rows = []
        levels = min(depth, self._shape.depth, self._model.free_positions)
        if levels < 1:
            return TokenTree()
        self._ranking.begin_step(randomness)
        parts = self._model, self._shape, self._ranking, self._vocabulary
        growth = _Growth(*parts, position, self._size_budget)
        nodes = growth.grow(levels)
        self._rows = [node.row for node in nodes]
        return TokenTree(
            tuple(node.token for node in nodes),
            tuple(node.parent for node in nodes),
            scores=tuple(node.score for node in nodes),
        )

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        scored: list[int] = []
        for node in path:
            row = self._rows[node]
            if row is None:
                break
            scored.append(row)
        self._model.commit(scored, tokens)


class _Growth:
    """One tree in the making: `nodes` only grows, parents first; `kept` are the best of them so far."""

    def __init__(
        self,
        model: DraftModel,
        shape: TreeShape,
        ranking: Ranking,
        vocabulary: DraftVocabulary,
        position: int,
        size_budget: TreeBudget | None,
    ) -> None:
        self.size_budget = size_budget
        self.passes = 0
        self.begun = model.forward_seconds
        self.model = model
        self.shape = shape
        self.ranking = ranking
        self.vocabulary = vocabulary
        self.position = position
        self.nodes: list[_Node] = []
        self.kept: list[int] = []
        self.rows = 0

    def grow(self, levels: int) -> list[_Node]:
        """The tree after at most `levels` draft passes, parents before children."""
        self._branch([ROOT], self.model.root()[None])
        for _ in range(levels - 1):
            frontier = self._frontier()
            if not frontier or not self._pays(frontier) or not self._branch(frontier, self._expand(frontier)):
                break
        if self.size_budget is not None:
            del self.kept[self.size_budget.best_size(self._scores(self.kept), self._spent()) :]
        return self._tree()

    def _pays(self, frontier: list[int]) -> bool:
        """Whether the tokens that expanding the frontier should win pay for its time."""
        if self.size_budget is None:
            return True
        spent = self._spent()
        return self.size_budget.another_level(
            self._scores(self.kept), self._scores(frontier), spent, spent / self.passes
        )

    def _scores(self, nodes: list[int]) -> list[float]:
        return [self.nodes[node].score for node in nodes]

    def _spent(self) -> float:
        return self.model.forward_seconds - self.begun

    def _frontier(self) -> list[int]:
        """The best kept nodes that were not expanded yet; `kept` is sorted, best first."""
        unexpanded = (node for node in self.kept if self.nodes[node].row is None)
        return sorted(islice(unexpanded, self.shape.beams))

    def _expand(self, frontier: list[int]) -> Tensor:
        """Score the frontier in one draft pass: logits (n, R)."""
        nodes = [self.nodes[node] for node in frontier]
        parents = [ROOT if node.parent == ROOT else self.nodes[node.parent].row for node in nodes]
        logits = self.model.grow([node.token for node in nodes], [row for row in parents if row is not None])
        for node in nodes:
            node.row = self.rows
            self.rows += 1
        return logits

    def _branch(self, parents: list[int], logits: Tensor) -> bool:
        """Give each parent its likeliest children and keep the best of all nodes; False if no child is."""
        self.passes += 1
        positions = [self.position + (0 if node == ROOT else self.nodes[node].depth) for node in parents]
        log_probs, tokens = self.ranking(logits, self.vocabulary, positions, self.shape.branches)
        above = torch.tensor(
            [0.0 if node == ROOT else self.nodes[node].score for node in parents], dtype=torch.float64
        )
        scores = log_probs.double().cpu() + above[:, None] + math.log(self.shape.decay)
        tokens = tokens.cpu()
        oldest = len(self.nodes)
        for row, choice in (scores > self._floor()).nonzero().tolist():
            depth = positions[row] - self.position + 1
            score = float(scores[row, choice])
            self.nodes.append(_Node(int(tokens[row, choice]), parents[row], score, depth))
        self.kept += range(oldest, len(self.nodes))
        # A child scores no better than its parent and is younger, so what is kept is closed under parents.
        self.kept.sort(key=lambda node: (-self.nodes[node].score, node))
        del self.kept[self.shape.budget :]
        return any(node >= oldest for node in self.kept)

    def _floor(self) -> float:
        """The score that a new node has to beat."""
        floor = -math.inf if self.shape.min_log_prob is None else self.shape.min_log_prob
        if len(self.kept) < self.shape.budget:
            return floor
        return max(floor, self.nodes[self.kept[-1]].score)

    def _tree(self) -> list[_Node]:
        """The kept nodes in order of age, with parents renumbered."""
        order = sorted(self.kept)
        index = {ROOT: ROOT} | {node: number for number, node in enumerate(order)}
        kept = [self.nodes[node] for node in order]
        return [_Node(node.token, index[node.parent], node.score, node.depth, node.row) for node in kept]
