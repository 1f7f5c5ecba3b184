"""Tokens that followed the same words before: a draft without a model.

Saxena (2023), prompt lookup decoding, https://github.com/apoorvumang/prompt-lookup-decoding, with every
earlier position that fits as a branch of a tree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import ROOT, TokenTree

SHORTEST = 2  # a single token was followed by too many things: such guesses cost more than they save


class NgramDrafter:
    """Looks up the last tokens in the text so far and proposes what followed them there.

    Args:
        size: longest run of tokens that is looked up; shorter runs are tried where it was never seen.
        budget: nodes in the tree.
        depth: tokens copied from each position.
        branches: positions copied from, latest first.
        shortest: length of the shortest run that is looked up.
    """

    forward_seconds = 0.0

    def __init__(self, size: int, budget: int, depth: int, branches: int, shortest: int = SHORTEST) -> None:
        self._sizes = range(size, min(shortest, size) - 1, -1)
        self._budget = budget
        self._depth = depth
        self._branches = branches
        self._tokens: list[int] = []
        self._positions: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)

    def begin(self, prompt: Sequence[int]) -> None:
        self._tokens = []
        self._positions.clear()
        self.commit((), prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        depth = min(depth, self._depth)
        trie = _Trie(self._budget)
        for start in self._likely_positions():
            trie.add(self._tokens[start : start + depth])
        return TokenTree(tuple(trie.tokens), tuple(trie.parents))

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        for token in tokens:
            # What ended before this token is now known to be followed by it.
            end = len(self._tokens)
            for size in self._possible():
                self._positions[tuple(self._tokens[end - size :])].append(end)
            self._tokens.append(token)

    def _likely_positions(self) -> list[int]:
        """Where text followed the longest run of last tokens that was seen before, latest first."""
        for size in self._possible():
            positions = self._positions.get(tuple(self._tokens[-size:]))
            if positions:
                return positions[: -self._branches - 1 : -1]
        return []

    def _possible(self) -> Iterator[int]:
        """Lengths of runs that are looked up, longest first, as far as there is text."""
        return (size for size in self._sizes if size <= len(self._tokens))


class _Trie:
    """Merges runs of tokens into one tree of at most `budget` nodes."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self._index: dict[tuple[int, int], int] = {}

    def add(self, run: Sequence[int]) -> None:
        """Add the run from the root, as far as the budget goes."""
        node = ROOT
        for token in run:
            if (node, token) not in self._index:
                if len(self.tokens) == self.budget:
                    return
                self._index[node, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
            node = self._index[node, token]
