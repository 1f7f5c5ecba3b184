"""Methods side by side on a trace, with intervals over its prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from specdec_cli.benchmarking.intervals import interval, share
from specdec_cli.progress import Report
from specdec_cli.settings import Settings
from specdec_cli.tracing.file import Trace, TracedRun
from specdec_cli.tracing.replay import Replayed, replay, replay_recorded


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One method on the runs that one configuration recorded.

    Attributes:
        recorded: name of the configuration that made the trace.
        method: name of the one that was replayed; empty for the recorded one on its own trees.
        prompts: runs.
        passes: steps begun.
        tokens_per_pass: expected, the target's own token included.
        low, high: its 95% interval, a bootstrap over prompts; None for a single prompt.
        tree_size: mean guesses of a tree, those that the trace knows.
        known: share of the guesses that the trace knows; what it does not counts as rejected.
        with_models: of the recorded one, expected tokens per pass from the whole distributions.
        observed: of the recorded one, tokens per pass that came out.
    """

    recorded: str
    method: str
    prompts: int
    passes: int
    tokens_per_pass: float
    low: float | None
    high: float | None
    tree_size: float
    known: float
    with_models: float | None = None
    observed: float | None = None


def compare_on(
    trace: Trace,
    wanted: Callable[[Settings], Mapping[str, Settings]],
    draws: int,
    report: Report,
) -> list[ReplayRow]:
    """The recorded methods on their own trees, then others on trees of theirs.

    Args:
        trace: that was read.
        wanted: from a recorded run's settings to the settings of what is to be replayed, by name.
        draws: trees to draw at each step.
        report: told what is going on.
    """
    rows: list[ReplayRow] = []
    for name in dict.fromkeys(run.configuration for run in trace.runs):
        runs = [run for run in trace.runs if run.configuration == name and run.steps]
        if not runs:
            continue
        report(f"Replaying {name} on its own trees")
        rows.append(_recorded(name, runs, [replay_recorded(run, trace.vocab_size) for run in runs]))
        for method, settings in wanted(runs[0].settings).items():
            report(f"Replaying {method} on what {name} recorded")
            found = [replay(run, settings, trace.vocab_size, draws) for run in runs]
            rows.append(_row(name, method, found))
    return rows


def _recorded(name: str, runs: Sequence[TracedRun], found: Sequence[Replayed]) -> ReplayRow:
    steps = [step for run in runs for step in run.steps]
    return replace(
        _row(name, "", found),
        with_models=1 + sum(step.expected for step in steps) / len(steps),
        observed=sum(len(step.emitted) for step in steps) / len(steps),
    )


def _row(recorded: str, method: str, found: Sequence[Replayed]) -> ReplayRow:
    passes = sum(each.passes for each in found)
    drafted, unknown = (sum(getattr(each, name) for each in found) for name in ("drafted", "unknown"))
    low, high = _interval([each.expected for each in found], [each.passes for each in found])
    return ReplayRow(
        recorded=recorded,
        method=method,
        prompts=len(found),
        passes=passes,
        tokens_per_pass=1 + sum(each.expected for each in found) / passes,
        low=low,
        high=high,
        tree_size=drafted / passes,
        known=drafted / (drafted + unknown) if drafted + unknown else 1.0,
    )


def _interval(expected: Sequence[float], passes: Sequence[int]) -> tuple[float | None, float | None]:
    columns = np.asarray(expected, dtype=np.float64), np.asarray(passes, dtype=np.float64)
    if bool(np.ptp(columns[0] / columns[1]) == 0):
        return None, None
    low, high = interval(columns, share)
    return None if low is None else 1 + low, None if high is None else 1 + high
