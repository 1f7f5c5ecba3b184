"""Other trees and verifiers on a trace: drafters and verifiers as they are, on models that remember.

Every recorded step is begun again by the method in question. Its drafter asks a model that gives back what
the trace knows of the draft; guesses after a text that the trace does not know are cut off. What the
verifier is expected to accept of the tree is then computed over its own chance, exactly (`expected.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import drafter_of, sampling_of, verifier_of
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.tracing.expected import expected_accepted
from specdec_cli.tracing.file import TracedRun, TracedStep
from specdec_cli.tracing.record import unfiltered
from specdec_cli.tracing.truncation import restored
from specdec_cli.tracing.watching import Path, paths_of
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Verifier

ENDLESS = 1 << 30


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a method made of one recorded run.

    Attributes:
        item: id of the prompt.
        passes: steps of the run.
        expected: guesses that are expected to be accepted, summed over the steps.
        drafted: guesses, summed.
        unknown: of the guesses that the method made, those after a text that the trace does not know.
    """

    item: str
    passes: int
    expected: float
    drafted: float
    unknown: float

    @property
    def tokens_per_pass(self) -> float:
        """Expected tokens of a pass, the target's own included."""
        return 1 + self.expected / self.passes


class TracedDistributions:
    """What a trace knows of one step: both models' distributions (V,), by the tokens that lead on."""

    def __init__(self, step: TracedStep, vocab_size: int, sampling: Sampling) -> None:
        self.tree = TokenTree(step.tokens, step.parents)
        self.target: dict[Path, Tensor] = {}
        self.logits: dict[Path, Tensor] = {}
        self.unknown = torch.full((vocab_size,), 1 / vocab_size)
        scale = unfiltered(sampling).temperature
        for path, row in zip(paths_of(self.tree), step.rows, strict=True):
            if path in self.target:  # a later duplicate, below which nothing was read
                continue
            target, draft = restored(row, vocab_size)
            self.target[path] = target
            if draft is not None:
                self.logits[path] = draft.log() * scale


class RememberedDraft:
    """A draft model that a trace stands in for."""

    forward_seconds = 0.0
    free_positions = ENDLESS
    vocabulary = None  # a trace holds distributions over the target's tokens

    def __init__(self, vocab_size: int) -> None:
        self._unknown = torch.zeros(vocab_size)
        self._logits: Mapping[Path, Tensor] = {}
        self._paths: list[Path] = []

    def stand_at(self, traced: TracedDistributions) -> None:
        """What is asked next is asked of that step."""
        self._logits = traced.logits

    def begin(self, tokens: Sequence[int]) -> None:
        """Nothing is read."""

    def root(self) -> Tensor:
        self._paths = []
        return self._logits.get((), self._unknown)

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        for token, parent in zip(tokens, parents, strict=True):
            self._paths.append((*(() if parent == ROOT else self._paths[parent]), token))
        fresh = self._paths[len(self._paths) - len(tokens) :]
        return torch.stack([self._logits.get(path, self._unknown) for path in fresh])

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Nothing is kept."""


def replay(run: TracedRun, settings: Settings, vocab_size: int, draws: int = 1) -> Replayed:
    """Another method on a recorded run.

    Args:
        run: of a trace.
        settings: of the method; its sampling must be the run's.
        vocab_size: of the vocabulary.
        draws: trees to draw at each step where they are drawn by chance; the means count.

    Raises:
        InputError: the method needs a draft model, and the trace has none; or the budget depends on time.
    """
    named = resolve_draft(settings)
    needs_draft = named is not None and not named.is_ngram
    _require_replayable(run, settings, needs_draft)
    draws = draws if METHODS[settings.method].draws_guesses else 1
    draft, verifier = RememberedDraft(vocab_size), verifier_of(settings)
    drafter = drafter_of(settings, vocab_size, lambda _: draft)
    drafter.begin(run.prompt)
    left = settings.max_tokens
    totals = [0.0, 0.0, 0.0]
    for step in run.steps:
        traced = TracedDistributions(step, vocab_size, sampling_of(settings))
        draft.stand_at(traced)
        for draw in range(draws):
            whole = drafter.propose(step.position, left - 1, SeededRandomness(settings.seed + draw))
            copied = named is not None and named.ngram_first and not (whole.proposals or whole.scores)
            known = traced.logits if needs_draft and not copied else traced.target
            found = _one(whole, verifier, traced, known)
            totals = [total + each / draws for total, each in zip(totals, found, strict=True)]
        drafter.commit((), step.emitted)
        left -= len(step.emitted)
    return Replayed(run.item, len(run.steps), *totals)


def _require_replayable(run: TracedRun, settings: Settings, needs_draft: bool) -> None:
    """Check that the trace holds what the method asks for; raises what `replay` does."""
    if settings.node_budget is None:
        problem = "--max-budget auto weighs what passes cost, and a trace holds no passes."
        raise InputError(problem, "Give numbers, such as --max-budget 8,16,32.")
    if needs_draft and not any(row.draft for step in run.steps for row in step.rows):
        problem = f"The trace has no draft model's distributions, and {settings.method} needs them."
        raise InputError(problem, "Record with a draft model, or replay with --methods ngram.")


def replay_recorded(run: TracedRun, vocab_size: int) -> Replayed:
    """The recorded verifier on the recorded trees: what the trace lost shows in the difference.

    Raises:
        InputError: a guess could not have been drawn from what the trace holds.
    """
    sampling, verifier = sampling_of(run.settings), verifier_of(run.settings)
    expected = 0.0
    for step in run.steps:
        traced = TracedDistributions(step, vocab_size, sampling)
        tree = replace(traced.tree, proposals=_proposals(step, traced, sampling))
        try:
            expected += expected_accepted(verifier, tree, _Rows(traced, tree))
        except ZeroDivisionError as error:  # accepted by the ratio to a proposal of 0
            problem = (
                f"The trace has a guess at position {step.position} that its draft could not have drawn."
            )
            raise InputError(problem, "The file is damaged: record it again with --trace.") from error
    drafted = float(sum(len(step.tokens) for step in run.steps))
    return Replayed(run.item, len(run.steps), expected, drafted, 0.0)


class _Rows:
    """The target's distributions on a tree; those after its unknown leaves decide nothing, and are any."""

    def __init__(self, traced: TracedDistributions, tree: TokenTree) -> None:
        self._traced = traced
        self._paths = paths_of(tree)

    def __getitem__(self, row: int) -> Tensor:
        return self._traced.target.get(self._paths[row], self._traced.unknown)


def _one(
    whole: TokenTree, verifier: Verifier, traced: TracedDistributions, read: Mapping[Path, Tensor]
) -> tuple[float, float, float]:
    """Expected accepted, guesses that the trace knows, and guesses that it does not, of one tree."""
    known = _known(whole, read)
    expected = expected_accepted(verifier, known, _Rows(traced, known))
    return expected, float(len(known)), float(len(whole) - len(known))


def _known(tree: TokenTree, read: Mapping[Path, Tensor]) -> TokenTree:
    """The guesses directly after a text whose distribution was read, by the tokens that lead there."""
    paths = paths_of(tree)
    kept = [node for node, parent in enumerate(tree.parents) if paths[parent + 1] in read]
    number = {ROOT: ROOT} | {node: index for index, node in enumerate(kept)}
    return TokenTree(
        tuple(tree.tokens[node] for node in kept),
        tuple(number[tree.parents[node]] for node in kept),
        tuple(tree.proposals[node] for node in kept) if tree.proposals else (),
        tuple(tree.scores[node] for node in kept) if tree.scores else (),
    )


def _proposals(
    step: TracedStep, traced: TracedDistributions, sampling: Sampling
) -> tuple[Tensor | None, ...]:
    paths = paths_of(traced.tree)
    found: list[Tensor | None] = []
    for parent, without in zip(step.parents, step.without, strict=True):
        if without is None:
            found.append(None)
            continue
        whole = distribution(traced.logits[paths[parent + 1]], sampling)
        whole[list(without)] = 0
        found.append(whole / whole.sum())
    return tuple(found)
