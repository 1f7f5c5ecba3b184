"""The runner of a draft that reads the target's hidden states: which of them stands before which row.

A row of text reads the target's hidden state before it. A node of a tree reads the draft's own output of its
parent's row, since the target has not seen the parent yet. Rows of nodes are therefore not kept when their
path is accepted: they are read again as text, together with the next root, and cost no pass of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specdec_cli.models.eagle.forward import EagleForward
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree


class EagleRunner(Runner):
    """Scores trees with an EAGLE head.

    Args:
        forward: its pass.
        context: positions that it can tell apart.
        source: the target's runner, told of every text before this one is.
        name: what errors call the head, with its number format.
    """

    def __init__(self, forward: EagleForward, context: int, source: Runner, name: str = "The head") -> None:
        self._source = source
        source.keep_features()
        self._outputs: list[Tensor] = []  # of the last row of text, then of each node
        self._nothing = forward.features.new_zeros(1, forward.features.shape[1])  # before the first token
        super().__init__(forward, context, name)

    def prepare(self, tokens: Sequence[int]) -> None:
        """Let the target read a text that this runner will be told of bit by bit."""
        self._source.features(tokens)

    def _afresh(self, tree: TokenTree, length: int | None = None) -> Tensor:
        """As of any runner, but by a pass for each node, since it needs its parent's output."""
        rows = [super()._afresh(TokenTree(), length)]
        rows += [
            self.grow([token], [parent]) for token, parent in zip(tree.tokens, tree.parents, strict=True)
        ]
        return torch.cat(rows)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append `tokens` to the text, to be read as text whether or not they were read as nodes."""
        super().commit((), tokens)

    def _pass(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> Tensor:
        logits = super()._pass(text, nodes, parents)
        outputs = self._forward.features
        if text:
            self._outputs = [outputs[len(text) - 1]]
        self._outputs += outputs[len(text) :].unbind(0)
        return logits

    def _before(self, text: int, parents: Sequence[int]) -> Tensor:
        device = self._forward.device
        own = [self._outputs[0 if parent == ROOT else parent + 1] for parent in parents]
        if not text:
            return torch.stack(own)
        first, before = self._read - text, self.tokens[: self._read - 1]
        parts = [] if first else [self._nothing]
        if before:
            parts.append(self._source.features(before)[max(first - 1, 0) :].to(device))
        return torch.cat([*parts, *(output[None] for output in own)])
