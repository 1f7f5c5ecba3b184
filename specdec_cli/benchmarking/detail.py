"""What acceptance depended on: position in the draft, kind of prompt, target's entropy, depth of the output.

What counts is a *level*: a position for which there were guesses and that the verdict's path came by. It was
accepted if a guess was. That means the same for chains and for trees of any width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from specdec_cli.benchmarking.intervals import interval, share
from specdec_cli.benchmarking.levels import Levels
from specdec_cli.benchmarking.records import Record
from specdec_cli.benchmarking.summary import Ratio, paired_ratio

POSITION, CATEGORY, ENTROPY, DEPTH = "position", "category", "entropy", "depth"
KINDS = (POSITION, CATEGORY, ENTROPY, DEPTH)
ENTROPY_ENDS = (0.1, 0.5, 1.0, 2.0, 4.0)  # bits
SHALLOWEST = 16  # tokens of the first part of the output; each further part doubles the depth
NO_CATEGORY = "-"


@dataclass(frozen=True, slots=True)
class Group:
    """The levels of one configuration that have something in common.

    Attributes:
        configuration: its name.
        kind: what they have in common, of `KINDS`.
        label: which of it.
        prompts: that have such levels; for a category, that are of it.
        levels: how many.
        accepted: of them, those at which a guess was accepted.
        rate: accepted over levels, with a bootstrap interval over prompts; None without levels.
        of_drafts: for a position, accepted there over all drafts; else None.
        tokens_per_pass: of a category's runs; else None.
        speedup: over plain decoding of a category's prompts; else None.
    """

    configuration: str
    kind: str
    label: str
    prompts: int
    levels: int
    accepted: int
    rate: Ratio | None
    of_drafts: float | None = None
    tokens_per_pass: float | None = None
    speedup: Ratio | None = None


def explain(records: Sequence[Record], baselines: Mapping[str, str]) -> list[Group]:
    """The groups of every configuration that drafted, in the order of `baselines` and `KINDS`."""
    groups: list[Group] = []
    for name in baselines:
        runs = [each for each in records if each.configuration == name and each.levels is not None]
        if any(each.levels and each.levels.place for each in runs):
            plain = {each.item: each for each in records if each.configuration == baselines[name]}
            groups += _of_configuration(name, runs, plain)
    return groups


def unexplained(records: Sequence[Record]) -> int:
    """How many runs of this engine were logged by a version that did not note their levels."""
    return sum(each.levels is None and each.drafted > 0 for each in records)


def _of_configuration(name: str, runs: Sequence[Record], plain: Mapping[str, Record]) -> list[Group]:
    drafts = sum(each.levels.depth.count(1) for each in runs if each.levels)
    positions = _groups(name, POSITION, runs, lambda levels, at: (levels.depth[at], str(levels.depth[at])))
    entropies = _groups(name, ENTROPY, runs, lambda levels, at: _entropy_bin(levels.entropy[at]))
    depths = _groups(name, DEPTH, runs, lambda levels, at: _depth_bin(levels.place[at]))
    return [
        *(_with_share(group, drafts) for group in positions),
        *_categories(name, runs, plain),
        *entropies,
        *depths,
    ]


Key = Callable[[Levels, int], tuple[int, str]]


def _groups(name: str, kind: str, runs: Sequence[Record], key: Key) -> list[Group]:
    """Levels by key, in the order of the keys; each prompt's counts stay apart for the interval."""
    counts: dict[tuple[int, str], dict[str, list[int]]] = {}
    for run in runs:
        assert run.levels is not None, "only runs with levels are looked at"
        for at, accepted in enumerate(run.levels.accepted):
            tally = counts.setdefault(key(run.levels, at), {}).setdefault(run.item, [0, 0])
            tally[0] += accepted
            tally[1] += 1
    return [_group(name, kind, label, list(counts[order, label].values())) for order, label in sorted(counts)]


def _group(name: str, kind: str, label: str, tallies: Sequence[Sequence[int]]) -> Group:
    accepted, levels = (sum(column) for column in zip(*tallies, strict=True)) if tallies else (0, 0)
    return Group(name, kind, label, len(tallies), levels, accepted, _rate(tallies) if levels else None)


def _with_share(group: Group, drafts: int) -> Group:
    return replace(group, of_drafts=group.accepted / drafts)


def _categories(name: str, runs: Sequence[Record], plain: Mapping[str, Record]) -> list[Group]:
    found = []
    for category in sorted({run.category for run in runs}):
        own = [run for run in runs if run.category == category]
        tallies = [(sum(run.levels.accepted), len(run.levels.accepted)) for run in own if run.levels]
        group = _group(name, CATEGORY, category or NO_CATEGORY, [tally for tally in tallies if tally[1]])
        pairs = [(run.speed, plain[run.item].speed) for run in own if run.item in plain]
        found.append(
            replace(
                group,
                prompts=len(own),
                tokens_per_pass=sum(run.tokens for run in own) / sum(run.passes for run in own),
                speedup=paired_ratio([one for one, _ in pairs], [two for _, two in pairs]) if pairs else None,
            )
        )
    return found


def _rate(tallies: Sequence[Sequence[int]]) -> Ratio:
    accepted, levels = np.asarray(tallies, dtype=np.float64).T
    value = float(accepted.sum() / levels.sum())
    if len(tallies) < 2 or bool(np.ptp(accepted / levels) == 0):
        return Ratio(value, None, None)
    return Ratio(value, *interval((accepted, levels), share))


def _entropy_bin(bits: float) -> tuple[int, str]:
    number = sum(bits >= end for end in ENTROPY_ENDS)
    ends = (0.0, *ENTROPY_ENDS)
    label = f"{ends[number]:g}-{ends[number + 1]:g}" if number < len(ENTROPY_ENDS) else f"{ends[number]:g}+"
    return number, label


def _depth_bin(position: int) -> tuple[int, str]:
    """The part of the output that a token lies in: 1-16, 17-32, 33-64, and so on."""
    low, high = 0, SHALLOWEST
    while position >= high:
        low, high = high, 2 * high
    return low, f"{low + 1}-{high}"
