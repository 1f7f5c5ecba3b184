"""From a watched run to a trace."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import sampling_of, verifier_of
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.settings import Settings
from specdec_cli.tracing.expected import Remembered, expected_accepted
from specdec_cli.tracing.file import TracedRun, TracedStep, TraceFile
from specdec_cli.tracing.truncation import truncate
from specdec_cli.tracing.watching import StepView, watch

CLOSE = 1e-5


def require_traceable(settings: Settings) -> None:
    """Check that a trace of such a run could be replayed.

    Raises:
        InputError: its guesses know the target's noise, or several models are one target.
    """
    if METHODS[settings.method].is_ensemble:
        problem = f"--trace cannot record {settings.method}: the models of an ensemble are asked in turn."
        raise InputError(problem, "Trace a method of one target.")
    if settings.coupled:
        problem = "--trace cannot record --coupled guesses: they know the noise that the target draws by."
        raise InputError(problem, "Leave one of the two out.")


def recorded(session: Session, run: TracedRun, file: TraceFile) -> Iterator[StepView]:
    """Decode the run's prompt and write a line for each step, after its clock has stopped."""
    file.begin(run, session.runner().vocab_size)
    for view in watch(session, run.prompt, run.settings):
        file.add(traced(view, run.settings, file.top))
        yield view


def traced(view: StepView, settings: Settings, top: int) -> TracedStep:
    """One step as a trace has it."""
    tree, verdict = view.verifier.tree, view.verifier.verdict
    sampling = sampling_of(settings)
    rows = Remembered(view.verifier.rows)
    drafted = {row: distribution(logits, sampling) for row, logits in view.draft_logits.items()}
    without = tuple(_without(view, node, drafted) for node in range(len(tree)))
    keep: list[set[int]] = [set() for _ in range(len(tree) + 1)]
    for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
        keep[parent + 1] |= {token, *(without[node] or ())}
    keep[(verdict.path[-1] if verdict.path else -1) + 1].add(verdict.next_token)
    plain = {row: distribution(each, unfiltered(sampling)) for row, each in view.draft_logits.items()}
    return TracedStep(
        position=view.verifier.position,
        tokens=tree.tokens,
        parents=tree.parents,
        scores=tree.scores,
        without=without,
        path=verdict.path,
        next_token=verdict.next_token,
        emitted=view.step.tokens,
        expected=expected_accepted(verifier_of(settings), tree, rows),
        rows=tuple(truncate(rows[row], plain.get(row), top, keep[row]) for row in range(len(tree) + 1)),
    )


def unfiltered(sampling: Sampling) -> Sampling:
    """How a trace keeps the draft's distribution: before filters, at temperature 1 where decoding is greedy.

    From that, every drafter gets back what it needs: the filtered distribution, and a ranking of all tokens.
    """
    return Sampling(1.0 if sampling.is_greedy else sampling.temperature)


def _without(view: StepView, node: int, drafted: dict[int, Tensor]) -> tuple[int, ...] | None:
    """Which tokens the draft's distribution was stripped of before the guess was drawn from it."""
    tree = view.verifier.tree
    proposal = tree.proposals[node] if tree.proposals else None
    if proposal is None:
        return None
    whole = drafted[tree.parents[node] + 1].to(proposal)
    removed = (whole > 0) & (proposal == 0)
    expected = torch.where(removed, 0, whole)
    if not torch.allclose(expected / expected.sum(), proposal, atol=CLOSE):
        problem = "A guess was drawn from something else than the draft's distribution without some tokens."
        raise SpecdecError(problem, "Such a drafter cannot be traced: leave --trace out.")
    return tuple(removed.nonzero()[:, 0].tolist())
