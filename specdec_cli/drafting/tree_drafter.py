"""A tree of fixed shape, grown level by level; a policy chooses the children of each node."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from specdec_cli.drafting.base import DraftModel
from specdec_cli.drafting.policies.base import Children, Draws, Policy, filled
from specdec_cli.drafting.shapes import StaticTree
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree


class TreeDrafter:
    """Fills a tree of fixed shape with guesses, one draft pass a level, at the target's own sampling.

    Args:
        model: the draft.
        shape: which node has how many children.
        policy: how they are chosen.
        sampling: how the draft's logits become distributions.
        vocab_size: of the target's vocabulary.
    """

    def __init__(
        self, model: DraftModel, shape: StaticTree, policy: Policy, sampling: Sampling, vocab_size: int
    ) -> None:
        self._model = model
        self._policy = policy
        self._sampling = sampling
        self._unfiltered = Sampling(1.0 if sampling.is_greedy else sampling.temperature)
        self._vocabulary = DraftVocabulary(model.vocabulary, vocab_size)
        self._depth = shape.depth
        # Where the children of the root, of node 0, of node 1, ... begin: breadth first they are in a row.
        self._firsts = [0, *accumulate(shape.child_counts())]
        self._rows: dict[int, int] = {}

    @property
    def forward_seconds(self) -> float:
        return self._model.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._rows = {}
        self._model.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        growth = _Growth(position, randomness)
        self._rows = growth.rows
        levels = min(depth, self._depth, self._model.free_positions)
        frontier = [(ROOT, ROOT)]
        for level in range(levels):
            logits = self._expand(growth, frontier) if level else self._model.root()[None]
            frontier = self._branch(growth, frontier, self._vocabulary.known(logits), level)
            if not frontier:
                break
        return TokenTree(tuple(growth.tokens), tuple(growth.parents), tuple(growth.proposals))

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        scored: list[int] = []
        for node in path:
            if node not in self._rows:
                break
            scored.append(self._rows[node])
        self._model.commit(scored, tokens)

    def _expand(self, growth: _Growth, frontier: list[tuple[int, int]]) -> Tensor:
        """Score nodes in one draft pass: logits (n, R)."""
        nodes = [node for node, _ in frontier]
        above = [growth.parents[node] for node in nodes]
        parents = [parent if parent == ROOT else growth.rows[parent] for parent in above]
        growth.rows.update({node: len(growth.rows) + row for row, node in enumerate(nodes)})
        return self._model.grow([growth.tokens[node] for node in nodes], parents)

    def _branch(
        self, growth: _Growth, frontier: list[tuple[int, int]], logits: Tensor, level: int
    ) -> list[tuple[int, int]]:
        """Give nodes their children; the children that are to have children themselves.

        Nodes are pairs: their index in the tree, and in the shape.
        """
        made: list[tuple[int, int]] = []
        spans = [(self._firsts[slot + 1], self._firsts[slot + 2]) for _, slot in frontier]
        chosen = self._choose(growth, logits, spans, level)
        for row, ((node, _), (first, _)) in enumerate(zip(frontier, spans, strict=True)):
            elder: set[int] = set()
            for sibling, (token, proposal) in chosen[row].items():
                growth.add(token, node, proposal)
                slot = first + sibling
                # A verifier never goes on below the later of two siblings with one token.
                if token not in elder and self._firsts[slot + 1] < self._firsts[slot + 2]:
                    made.append((len(growth.tokens) - 1, slot))
                elder.add(token)
        return made

    def _choose(
        self, growth: _Growth, logits: Tensor, spans: list[tuple[int, int]], level: int
    ) -> list[dict[int, tuple[int, Tensor | None]]]:
        """Token and proposal of each node's children by sibling; nodes with as many go together."""
        chosen: list[dict[int, tuple[int, Tensor | None]]] = [{} for _ in spans]
        for count in sorted({end - first for first, end in spans} - {0}):
            rows = [row for row, (first, end) in enumerate(spans) if end - first == count]
            draws = Draws(
                growth.randomness, growth.start + level, growth.start, [spans[row][0] for row in rows]
            )
            some = logits if len(rows) == len(logits) else logits[torch.tensor(rows, device=logits.device)]
            children = self._children(some, count, draws)
            tokens, exists = self._vocabulary.ids(children.tokens).tolist(), children.exists.tolist()
            certain = None if children.certain is None else children.certain.tolist()
            for index, row in enumerate(rows):
                for sibling, proposals in enumerate(children.proposals):
                    if exists[index][sibling]:
                        sure = proposals is None or (certain is not None and certain[index][sibling])
                        proposal = (
                            None if sure or proposals is None else self._vocabulary.spread(proposals[index])
                        )
                        chosen[row][sibling] = tokens[index][sibling], proposal
        return chosen

    def _children(self, logits: Tensor, count: int, draws: Draws) -> Children:
        """`count` children of each row of logits (n, R), as far as the vocabulary goes."""
        draft = distribution(logits, self._sampling)
        children = self._policy(draft, count, draws)
        if children.tokens.shape[-1] == count and bool(children.exists.all()):
            return children
        return filled(children, count, draft, distribution(logits, self._unfiltered))


class _Growth:
    """One tree in the making, and which row of the draft's own tree each scored node has."""

    def __init__(self, start: int, randomness: Randomness) -> None:
        self.start = start
        self.randomness = randomness
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.proposals: list[Tensor | None] = []
        self.rows: dict[int, int] = {}

    def add(self, token: int, parent: int, proposal: Tensor | None) -> None:
        self.tokens.append(token)
        self.parents.append(parent)
        self.proposals.append(proposal)
