"""Text, tree and cache rows of one model: what is committed, what is guessed, and what was read of both.

The cache holds one row for each committed token that was read, then one for each node of the current tree.
A committed token without a row yet is *pending* and is read at the head of the next pass: after a step that
is the token that follows the accepted path, and for a draft model also what it guessed but never read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from specdec_cli.errors import MismatchError
from specdec_cli.models.forward.base import Forward, Pass
from specdec_cli.models.hf.checkpoint import UNLIMITED
from specdec_cli.models.hf.readable_tokens import ReadableTokens
from specdec_cli.models.runner.pass_costs import PassCosts
from specdec_cli.sampling.distribution import require_finite
from specdec_cli.sampling.vocabulary import spread
from specdec_cli.tree import ROOT, TokenTree

PREFILL_CHUNK = 512


class Runner:
    """Scores trees on top of a text and commits paths of them.

    Args:
        forward: the model's pass.
        context: positions that the model can tell apart.
        name: what errors call the model, with its number format.
        stand_in: id that is read in place of one that the model has no row for; see `ReadableTokens`.

    Attributes:
        readable_tokens: which tokens the model can read.
        tokens: the committed text.
        forward_seconds: seconds spent in forward passes so far.
        rows_read: tokens that passes have read so far.
        reuse: whether a text that begins as the last one did keeps the rows that they share.
        longest: tokens of the longest text that was read so far.
        costs: what passes cost, by their number of rows.
    """

    def __init__(
        self, forward: Forward, context: int, name: str = "The model", stand_in: int | None = None
    ) -> None:
        self._forward = forward
        self._name = name
        self._context = context
        self.readable_tokens = ReadableTokens(forward.readable, stand_in)
        self.reuse = False
        self.rows_read = 0
        self.longest = 0
        self.costs = PassCosts()
        self.tokens: list[int] = []
        self.forward_seconds = 0.0
        self._read = 0
        self._depths: list[int] = []
        self._lineage = np.zeros((0, 0), dtype=np.bool_)
        self._features: Tensor | None = None
        self._rotated_for = 0  # tokens: what the rows of a shorter text than this are rotated for

    @property
    def vocab_size(self) -> int:
        """Size V of the whole vocabulary."""
        return self._forward.vocab_size

    @property
    def vocabulary(self) -> Tensor | None:
        """(R,) the ids, ascending, that logits of `root` and `grow` stand for; None where these are all."""
        return self._forward.vocabulary

    @property
    def bitwise(self) -> bool:
        """Whether a row's logits are the same bits in every pass that holds it."""
        return self._forward.bitwise

    @property
    def free_positions(self) -> int:
        """Positions left after the committed text; 0 or less where it is longer than the context."""
        return self._context - len(self.tokens)

    @property
    def reach(self) -> int:
        """Levels of a tree that one pass scores; a deeper one takes several, with all text read again."""
        scaling, length = self._forward.rotary_scaling, len(self.tokens)
        if scaling is None or scaling.reread is None or length > scaling.reread:
            return UNLIMITED
        return scaling.reread - length

    def keep_features(self) -> None:
        """Keep the last hidden states of what is read from now on, for a draft that reads them."""
        if self._features is None:
            self._forward.keep_features()
            self._features = torch.empty(0)

    def features(self, tokens: Sequence[int]) -> Tensor:
        """The last hidden states after each of these tokens: (n, hidden); after `keep_features`.

        They are at hand where the committed text begins with the tokens; else they are read as a new text.
        """
        assert self._features is not None, "keep_features comes first"
        count = len(tokens)
        if self._read < count or self.tokens[:count] != list(tokens):
            self.begin([*tokens, *tokens[-1:]])
        return self._features[:count]

    def begin(self, tokens: Sequence[int]) -> None:
        """Start a new text and read all of it but the last token, in chunks.

        A text longer than the context is kept but not read: see `free_positions`.
        """
        self._read = self._shared(tokens) if self.reuse else 0
        self.tokens = list(tokens)
        self._drop_tree()
        self._rotated_for = len(tokens)
        if self.free_positions >= 0:
            self._read_text()

    def score(self, tree: TokenTree) -> Tensor:
        """Logits that follow the text and each node, in one pass: (N + 1, V). Drops any earlier tree.

        A tree deeper than `reach` takes two, and all text is read again between them.
        """
        near, depths = self._spread(self._afresh(tree)), torch.tensor((0, *tree.depths()))
        beyond = depths > self.reach
        if not beyond.any():
            return near
        far = self._spread(self._afresh(tree, len(self.tokens) + int(depths.max())))
        return torch.where(beyond[:, None].to(near.device), far, near)

    def root(self) -> Tensor:
        """Logits that follow the text: (R,). Drops any earlier tree."""
        return self._afresh(TokenTree())[0]

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Add nodes, numbered on from earlier ones, to the tree begun by `root` or `score`: logits (n, R)."""
        return self._pass((), tokens, parents)

    def read_on(self, tokens: Sequence[int]) -> Tensor:
        """Read what is pending and then nodes that continue the chain of nodes, which must be one.

        Logits that follow the pending text, if there is any, and each new node: (n or n + 1, V).

        Raises:
            MismatchError: the chain would be longer than `reach`.
        """
        first = len(self._depths) - 1
        if len(self._depths) + len(tokens) > self.reach:
            known = f"A member reads its text again past {len(self.tokens) + self.reach:,} tokens"
            raise MismatchError(f"{known}, and guesses cannot go across that.", "Pass --exec plain.")
        return self._spread(self._pass(self.tokens[self._read :], tokens, range(first, first + len(tokens))))

    def advance(self, tokens: Sequence[int]) -> None:
        """Append `tokens` to the text, the first of the chain of nodes; the nodes behind them stay nodes."""
        nodes = min(len(tokens), len(self._depths))
        kept = len(self._depths) - nodes
        self.tokens += tokens
        self._read += nodes
        self._lineage[:kept, :kept] = self._lineage[nodes : nodes + kept, nodes : nodes + kept].copy()
        self._depths = self._depths[:kept]

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append `tokens` to the text; `path` are the nodes, root downwards, that are its first ones.

        Moves the rows of the path only, and of it only those that are not in place.
        """
        first = next((index for index, node in enumerate(path) if node != index), len(path))
        if first < len(path):
            rows = torch.tensor([self._read + node for node in path[first:]])
            self._forward.move(rows, self._read + first)
            if self._features is not None:
                self._features[self._read + first : self._read + len(path)] = self._features[rows]
        self._read += len(path)
        self.tokens += tokens
        self._drop_tree()

    def _shared(self, tokens: Sequence[int]) -> int:
        """Rows that are in the cache and that a text of these tokens begins with, its last token apart."""
        most, scaling = max(0, min(self._read, len(tokens) - 1)), self._forward.rotary_scaling

        def differs(row: int) -> bool:
            now, anew = max(row + 1, self._rotated_for), max(row + 1, len(tokens))
            return self.tokens[row] != tokens[row] or (scaling is not None and not scaling.same(now, anew))

        return next(filter(differs, range(most)), most)

    def _read_text(self) -> None:
        """Read all of the text that was not read yet but its last token."""
        last = len(self.tokens) - 1
        self._forward.reserve(last + 1)
        for start in range(self._read, last, PREFILL_CHUNK):
            self._pass(self.tokens[start : min(start + PREFILL_CHUNK, last)], (), ())

    def _afresh(self, tree: TokenTree, length: int | None = None) -> Tensor:
        """Logits that follow the text and each node of a new tree, in one pass: (N + 1, R).

        Where what is read depends on the whole text's length, it is read as a text of that `length`.
        """
        self._drop_tree()
        scaling, length = self._forward.rotary_scaling, length or len(self.tokens)
        if scaling and scaling.reread is not None and not scaling.same(self._rotated_for, length):
            self._read, self._rotated_for = 0, length
            self._read_text()
        self._read = min(self._read, len(self.tokens) - 1)  # the last row again, if it was read before
        return self._pass(self.tokens[self._read :], tree.tokens, tree.parents)

    def _spread(self, logits: Tensor) -> Tensor:
        return spread(logits, self.vocabulary, self.vocab_size, float("-inf"))

    def _drop_tree(self) -> None:
        self._depths = []

    def _pass(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read pending text, then nodes: logits (n, R) of the last row of text, if any, and all nodes.

        Raises:
            NotFiniteError: no distribution follows from the logits.
        """
        start = self._read + len(self._depths)
        self._read += len(text)
        self.longest = max(self.longest, self._read)
        self.rows_read += len(text) + len(nodes)
        self._add_nodes(parents)
        rows = self._read + len(self._depths)
        self._forward.reserve(rows)
        fresh = self._depths[len(self._depths) - len(nodes) :]
        positions = [*range(self._read - len(text), self._read), *(self._read - 1 + depth for depth in fresh)]
        step = Pass(
            tokens=torch.tensor(self.readable_tokens.read([*text, *nodes]), device=self._forward.device),
            positions=torch.tensor(positions, device=self._forward.device),
            start=start,
            visible=self._visible(len(text), len(nodes)),
            text=self._read,
            depths=tuple(self._depths),
            keep=len(nodes) + bool(text),
            features=self._before(len(text), parents),
            lengths=tuple(max(position + 1, self._rotated_for) for position in positions),
        )
        begun = time.perf_counter()
        logits = self._forward.run(step)
        if logits.is_cuda:  # the call returns when the work is queued; the time is of the work
            torch.cuda.synchronize(logits.device)
        seconds = time.perf_counter() - begun
        self.forward_seconds += seconds
        self.costs.observe(len(text) + len(nodes), seconds)
        if self._features is not None:
            self._store(self._features, start, rows)
        if len(logits):
            require_finite(logits, self._name)
        return logits

    def _before(self, text: int, parents: Sequence[int]) -> Tensor | None:
        """The hidden states that the next rows, of text and then nodes, read beside their tokens, if any."""
        return None

    def _store(self, features: Tensor, start: int, rows: int) -> None:
        """Put the hidden states of the last pass in the rows of their tokens."""
        fresh = self._forward.features
        if len(features) < rows:
            features = torch.cat(
                (features.to(fresh), fresh.new_empty((2 * rows - len(features), fresh.shape[1])))
            )
            self._features = features
        features[start:rows] = fresh

    def _add_nodes(self, parents: Sequence[int]) -> None:
        """Enter new nodes into `_depths` and `_lineage`, whose row i marks node i and its ancestors."""
        total = len(self._depths) + len(parents)
        if total > len(self._lineage):
            larger = np.zeros((2 * total, 2 * total), dtype=np.bool_)
            larger[: len(self._lineage), : len(self._lineage)] = self._lineage
            self._lineage = larger
        for parent in parents:
            node = len(self._depths)
            self._lineage[node] = False if parent == ROOT else self._lineage[parent]
            self._lineage[node, node] = True
            self._depths.append(1 if parent == ROOT else self._depths[parent] + 1)

    def _visible(self, text: int, nodes: int) -> Tensor | None:
        """Which rows each new row may look at; None where that is every row up to itself."""
        total = len(self._depths)
        if not nodes or self._depths[-1] == total:  # a chain: its last node has all the others above it
            return None
        fresh: npt.NDArray[np.bool_] = self._lineage[total - nodes : total, :total]
        seen = np.ones((text + nodes, self._read + total), dtype=np.bool_)
        seen[:text, self._read - text :] = np.tri(text, text + total, dtype=np.bool_)
        seen[text:, self._read :] = fresh
        return torch.from_numpy(seen).to(self._forward.device)
