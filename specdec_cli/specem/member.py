"""A model of the ensemble: what it has read, how it drafts a segment, and how it scores others'."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.engine.text import UNFINISHED, Detokenizer, Held, Piece, Stops, split
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.sampling.scoring import token_scores
from specdec_cli.specem.retokenize import Text, continuation, tail
from specdec_cli.specem.segmentation import draft_limit, find_cut
from specdec_cli.tree import ROOT, TokenTree


@dataclass(frozen=True, slots=True)
class Segment:
    """A draft of a few tokens by one model.

    Attributes:
        text: what it adds to the answer.
        tokens: ids of the author's tokenizer; None where the text ends inside one of them.
        finished: whether the answer ends here.
    """

    text: str
    tokens: tuple[int, ...] | None
    finished: bool


@dataclass(frozen=True)
class Asking:
    """How a model is asked and how it ends an answer.

    Attributes:
        opening: a question to the tokens before the answer.
        lead: text between these and the answer, such as a space; not part of the answer.
        stops: strings that end an answer.
        stop_tokens: ids that end it.
        closing: the tokens by which this model would end it, scored as the end of a finished segment.
        joined: whether the opening's last tokens decide how the answer's first word is written.
        names: special tokens by id, which are part of the text that `stops` are looked for in.
    """

    opening: Callable[[str], list[int]]
    lead: str
    stops: tuple[str, ...]
    stop_tokens: frozenset[int]
    closing: tuple[int, ...]
    joined: bool
    names: Mapping[int, str] = field(default_factory=dict)


class SegmentRunner(Protocol):
    """What computes: see `models.runner.Runner`."""

    reuse: bool

    @property
    def bitwise(self) -> bool:
        """Whether a row's logits are the same bits in every pass that holds it."""
        ...

    def begin(self, tokens: Sequence[int]) -> None:
        """Start a text."""
        ...

    def score(self, tree: TokenTree) -> torch.Tensor:
        """Logits after the text and after each node: (N + 1, V)."""
        ...

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Append a path of the tree to the text."""
        ...


class SpecEMMember:
    """One model. Where its runner reuses rows, nothing that it read is read again.

    Args:
        name: what to call it.
        runner: of the model.
        roles: how it drafts: alone, or with somebody who guesses ahead of it.
        tokenizer: its own.
        asking: its template.
        context: positions that it can tell apart.

    Attributes:
        tokens: the question in its template and the answer so far, in its tokens.
    """

    def __init__(
        self, name: str, runner: SegmentRunner, roles: Roles, tokenizer: Text, asking: Asking, context: int
    ) -> None:
        self.name = name
        self.asking = asking
        self.context = context
        self.tokens: list[int] = []
        self._runner = runner
        self._roles = roles
        self._tokenizer = tokenizer
        self._answering = False
        self._tree: dict[tuple[int, ...], int] = {}

    @property
    def bitwise(self) -> bool:
        """Whether a row's logits are the same bits in every pass that holds it."""
        return self._runner.bitwise

    @property
    def room(self) -> int:
        """Positions that are left."""
        return self.context - len(self.tokens)

    def forget(self, *, reuse: bool) -> None:
        """Drop what the model read; from now on keep what it reads from round to round, or do not.

        A draft model of its own is left as it is.
        """
        self._runner.begin(())
        self._runner.reuse = reuse

    def begin(self, question: str) -> None:
        """Start to answer a question; nothing is computed yet."""
        self.tokens = self.asking.opening(question)
        self._answering = False

    def draft(self, window: int, seed: int) -> Segment:
        """A segment of about `window` tokens to follow the answer so far; the same seed draws the same.

        Raises:
            NotFiniteError: the model gives no distribution.
        """
        stopping = Stopping(draft_limit(window, self.asking.stops) + 1, Stops(self.asking.stop_tokens))
        steps = decode(self.tokens, self._roles, SeededRandomness(seed), stopping)
        found = cut_draft(steps, Detokenizer(self._tokenizer.decode, self._before()), window, self.asking)
        if self._answering or not found.text.startswith(self.asking.lead):
            return found
        return Segment(found.text.removeprefix(self.asking.lead), found.tokens, found.finished)

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens by which a text follows the answer so far."""
        if not text:
            return ()
        lead = "" if self._answering else self.asking.lead
        return tuple(continuation(self._tokenizer, self._before(), lead + text))

    def score(self, candidates: Sequence[Sequence[int]], scoring: str) -> list[float]:
        """Mean score of the tokens of each candidate after the answer so far, all in one pass.

        A candidate of no tokens (a tokenizer may drop what it is given) scores as the worst of the others
        does; if all are, 0.

        Args:
            candidates: M lists of token ids.
            scoring: what a token's score is; see `sampling.scoring.token_scores`.

        Returns:
            M scores.
        """
        tree, paths = merge(candidates)
        self._tree = {}
        if not tree.tokens:
            return [0.0] * len(paths)
        self._runner.begin(self.tokens)
        logits = self._runner.score(tree)
        rows = torch.tensor(tree.parents, device=logits.device) + 1
        tokens = torch.tensor(tree.tokens, device=logits.device)
        scores = token_scores(logits[rows], tokens, scoring).tolist()
        self._tree = {tuple(tree.tokens[node] for node in path[:size]): path[size - 1]
                      for path in paths for size in range(1, len(path) + 1)}  # fmt: skip
        means = [sum(scores[node] for node in path) / len(path) if path else math.inf for path in paths]
        return [min(means) if path == [] else mean for path, mean in zip(paths, means, strict=True)]

    def append(self, tokens: Sequence[int]) -> None:
        """Go on from these tokens; those of a candidate that was scored last need no further pass."""
        nodes = [self._tree[tuple(tokens[:size])] for size in range(1, len(tokens) + 1)
                 if tuple(tokens[:size]) in self._tree]  # fmt: skip
        if tokens and len(nodes) == len(tokens):
            self._runner.commit(nodes, list(tokens))
        self._tree = {}
        self.tokens = [*self.tokens, *tokens]
        self._answering = self._answering or bool(tokens)

    def _before(self) -> list[int]:
        joined = self._answering or self.asking.joined
        return tail(self._tokenizer, self.tokens) if joined else []


def cut_draft(steps: Iterable[Step], stream: Detokenizer, window: int, asking: Asking) -> Segment:
    """The first segment of a stream of steps; no more steps are taken than it needs.

    Args:
        steps: of the model that drafts.
        stream: turns their tokens into text, after what the text follows on.
        window: tokens of a segment, about.
        asking: what ends an answer.
    """
    text, tokens = "", list[int]()
    texts: list[str | None] = []
    stops, held = Stops(strings=asking.stops), list[Held]()
    for step in steps:
        for token in step.tokens:
            if token in asking.stop_tokens:
                return Segment(text + stream.finish(), tuple(tokens), finished=True)
            piece = stream.push(token)
            text += piece
            tokens.append(token)
            texts.append(text if piece else None)
            held.append((piece + asking.names.get(token, ""), Piece(piece, drafted=False)))
            end = stops.find("".join(whole for whole, _ in held), 0)
            if end is not None:
                shown = "".join(piece.text for _, piece in split(held, end)[0])
                return Segment(shown, None, finished=True)
            count = find_cut(texts, window, asking.stops)
            if count is not None:
                kept = texts[count - 1]
                if kept is None:
                    return _inside_character(text + stream.finish(), tokens)
                return Segment(kept, tuple(tokens[:count]), finished=False)
    return Segment(text + stream.finish(), tuple(tokens), finished=False)


def _inside_character(text: str, tokens: Sequence[int]) -> Segment:
    """A draft whose tokens end inside a character, as far as its characters are whole."""
    whole = text.rstrip(UNFINISHED)
    return Segment(whole, None, finished=False) if whole else Segment(text, tuple(tokens), finished=False)


def merge(sequences: Sequence[Sequence[int]]) -> tuple[TokenTree, list[list[int]]]:
    """A tree in which each sequence is a path, common beginnings shared; and each one's nodes."""
    tokens: list[int] = []
    parents: list[int] = []
    children: dict[tuple[int, int], int] = {}
    paths = []
    for sequence in sequences:
        node, path = ROOT, []
        for token in sequence:
            if (node, token) not in children:
                children[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
            node = children[node, token]
            path.append(node)
        paths.append(path)
    return TokenTree(tuple(tokens), tuple(parents)), paths
