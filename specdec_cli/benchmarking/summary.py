"""Records to figures: one row a configuration, speed-ups paired by prompt, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from specdec_cli.benchmarking.intervals import Numbers, interval
from specdec_cli.benchmarking.records import Record
from specdec_cli.runtime.promise import BITWISE, UP_TO_TIES, Promise

DRIFT = 0.1  # relative change of plain decoding's speed between the halves of a run that is worth a warning


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio and its 95% interval; the ends are None where a single prompt gives none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration over all prompts that it and its baseline both decoded.

    Attributes:
        configuration: its name.
        prompts: how many.
        gen_rate: tokens per pass, all tokens over all passes, the target's own token included.
        gen_speed: tokens per second, all tokens over all decode seconds.
        acceptance_rate: accepted over drafted; None where nothing is drafted.
        speedup: over plain decoding of the same sampling, paired by prompt; None for itself.
        draft_seconds, verify_seconds: means of a step (t0 and t1 of SpecExec's table).
        draft_share, verify_share, overhead_share: of the decode time.
        tree_depth, tree_size: means over prompts.
        least_score: mean over prompts; None where nothing is ranked.
        first_token_seconds: mean over prompts.
        memory_bytes: greatest use.
        seconds: of all its runs, prompts included.
        same_text: of the prompts, how many gave the baseline's tokens.
        identical: whether all of them have to; see `runtime.promise`. None where nothing is promised, or not
            of all runs.
        calls_per_token: passes of all models of an ensemble over its tokens; None for a single model.
        member_acceptance: of each of its models, accepted over drafted; None where it drafted nothing.
    """

    configuration: str
    prompts: int
    gen_rate: float
    gen_speed: float
    acceptance_rate: float | None
    speedup: Ratio | None
    draft_seconds: float
    verify_seconds: float
    draft_share: float
    verify_share: float
    overhead_share: float
    tree_depth: float
    tree_size: float
    least_score: float | None
    first_token_seconds: float
    memory_bytes: int
    seconds: float
    same_text: int
    identical: Promise | None = None
    calls_per_token: float | None = None
    member_acceptance: tuple[float | None, ...] = ()


def summarise(records: Sequence[Record], baselines: Mapping[str, str]) -> list[Row]:
    """A row for each configuration, in the order of `baselines`, which names what each is compared with."""
    by_name: dict[str, dict[str, Record]] = {}
    for record in records:
        by_name.setdefault(record.configuration, {})[record.item] = record
    return [
        _row(name, by_name[name], by_name.get(baselines[name], {}) if baselines[name] != name else {})
        for name in baselines
        if name in by_name
    ]


def _row(name: str, own: Mapping[str, Record], plain: Mapping[str, Record]) -> Row:
    items = [item for item in own if item in plain] if plain else list(own)
    runs = [own[item] for item in items]
    tokens, passes, seconds = (_sum(runs, field) for field in ("tokens", "passes", "seconds"))
    drafted = _sum(runs, "drafted")
    scores = [run.least_score for run in runs if run.least_score is not None]
    return Row(
        configuration=name,
        prompts=len(runs),
        gen_rate=tokens / passes,
        gen_speed=tokens / seconds,
        acceptance_rate=_sum(runs, "accepted") / drafted if drafted else None,
        speedup=paired_ratio([own[item].speed for item in items], [plain[item].speed for item in items])
        if plain
        else None,
        draft_seconds=_sum(runs, "draft_seconds") / passes,
        verify_seconds=_sum(runs, "verify_seconds") / passes,
        draft_share=_sum(runs, "draft_seconds") / seconds,
        verify_share=_sum(runs, "verify_seconds") / seconds,
        overhead_share=_sum(runs, "overhead_seconds") / seconds,
        tree_depth=_sum(runs, "tree_depth") / len(runs),
        tree_size=_sum(runs, "tree_size") / len(runs),
        least_score=sum(scores) / len(scores) if scores else None,
        first_token_seconds=_sum(runs, "first_token_seconds") / len(runs),
        memory_bytes=max(run.memory_bytes for run in runs),
        seconds=seconds + _sum(runs, "prefill_seconds"),
        same_text=sum(own[item].text_hash == plain[item].text_hash for item in items) if plain else len(runs),
        identical=_promise([*runs, *(plain[item] for item in items if plain)]),
        calls_per_token=sum(share[0] for run in runs for share in run.shares) / tokens
        if any(run.shares for run in runs)
        else None,
        member_acceptance=_member_acceptance(runs),
    )


def _promise(runs: Sequence[Record]) -> Promise | None:
    """What is promised of all runs: a log may have been begun by an older version, or with other kernels."""
    found = {run.identical for run in runs}
    return None if None in found else UP_TO_TIES if UP_TO_TIES in found else BITWISE


def broken_promises(rows: Iterable[Row]) -> list[str]:
    """Configurations that some text is another than the baseline's of, though the same bits are promised."""
    return [row.configuration for row in rows if row.identical == BITWISE and row.same_text < row.prompts]


def _member_acceptance(runs: Sequence[Record]) -> tuple[float | None, ...]:
    """Of each model of an ensemble, accepted over drafted tokens of all runs."""
    totals = [
        [sum(part) for part in zip(*shares, strict=True)]
        for shares in zip(*(run.shares for run in runs), strict=True)
    ]
    return tuple(accepted / drafted if drafted else None for _, drafted, accepted in totals)


def paired_ratio(own: Sequence[float], other: Sequence[float]) -> Ratio:
    """Geometric mean of the ratios of paired speeds, with a bootstrap interval over the pairs."""
    logs: Numbers = np.log(np.asarray(own, dtype=np.float64)) - np.log(np.asarray(other, dtype=np.float64))
    value = float(np.exp(logs.mean()))
    if len(logs) < 2 or bool(np.ptp(logs) == 0):
        return Ratio(value, None, None)
    low, high = interval((logs,), np.mean)
    return Ratio(value, None if low is None else exp(low), None if high is None else exp(high))


def drift(records: Sequence[Record], baseline: str) -> float | None:
    """How much faster plain decoding was in the second half of a run than in the first; None if too short.

    A machine that heats up, or that others begin to use, makes later runs slower. Configurations are
    interleaved, so ratios bear it; absolute speeds do not.
    """
    runs = sorted((each for each in records if each.configuration == baseline), key=lambda each: each.order)
    if len(runs) < 4:
        return None
    half = len(runs) // 2
    first, second = runs[:half], runs[half:]
    speeds = [_sum(part, "tokens") / _sum(part, "seconds") for part in (first, second)]
    return speeds[1] / speeds[0] - 1


def _sum(runs: Sequence[Record], field: str) -> float:
    return float(sum(getattr(run, field) for run in runs))
