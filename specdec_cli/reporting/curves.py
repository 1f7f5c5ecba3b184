"""Figures of a sweep as curves over the value that was swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from specdec_cli.benchmarking.summary import Ratio, Row

AXES = {
    "budget": "tree budget, guesses",
    "gamma": "length of the chain, guesses",
    "depth": "longest branch, guesses",
    "beams": "beams",
    "branch": "branches of a node",
}
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # apart for all colour vision
MARKS = "osD^vP"
DASHES = ("--", "-.", ":")
PLAIN = "#666666"
APART = 0.04  # of the value: so much do intervals stand aside that would cover each other


class Measured(NamedTuple):
    """A row that has a speed-up, and that."""

    row: Row
    speedup: Ratio


@dataclass(frozen=True, slots=True)
class Curves:
    """What a sweep draws.

    Attributes:
        axis: key of `AXES`.
        lines: by the rest of the configurations' names, values and what was measured there, ascending; two
            values or more.
        levels: what was measured of configurations that the swept value does not concern, or that have one
            value only. Those without a speed-up, such as plain decoding, are in neither.
    """

    axis: str
    lines: dict[str, list[tuple[float, Measured]]]
    levels: list[Measured]


def find_curves(rows: Sequence[Row]) -> Curves | None:
    """Curves over the one of `AXES` that most configurations differ in, in nothing else; None without one."""
    measured = [Measured(row, row.speedup) for row in rows if row.speedup is not None]
    found = [curves for axis in AXES if (curves := _curves(measured, axis)).lines]
    return min(found, key=lambda curves: len(curves.levels), default=None)


def _curves(measured: Sequence[Measured], axis: str) -> Curves:
    lines: dict[str, list[tuple[float, Measured]]] = {}
    for each in measured:
        found = _value(each.row.configuration, axis)
        if found is not None:
            lines.setdefault(found[0], []).append((found[1], each))
    lines = {name: sorted(line, key=lambda point: point[0]) for name, line in lines.items() if len(line) > 1}
    drawn = {each.row.configuration for line in lines.values() for _, each in line}
    return Curves(axis, lines, [each for each in measured if each.row.configuration not in drawn])


def ends(ratio: Ratio) -> tuple[float, float]:
    """How far the interval of a ratio reaches below and above it; 0 where a single prompt gives none."""
    low, high = ratio.low or ratio.value, ratio.high or ratio.value
    return max(ratio.value - low, 0.0), max(high - ratio.value, 0.0)


def draw_curves(axes: Sequence[Any], curves: Curves) -> None:
    """Speed-up and tokens per pass over the swept value, on two axes."""
    speed, tokens = axes
    for index, (name, line) in enumerate(curves.lines.items()):
        style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKS[index % len(MARKS)], "label": name}
        values = [value for value, _ in line]
        aside = 1 + APART * (index - (len(curves.lines) - 1) / 2)
        ratios = [each.speedup for _, each in line]
        reach = list(zip(*map(ends, ratios), strict=True))
        beside = [value * aside for value in values]
        speed.errorbar(beside, [ratio.value for ratio in ratios], yerr=reach, capsize=3, **style)
        tokens.plot(values, [each.row.gen_rate for _, each in line], **style)
    for index, each in enumerate(curves.levels, len(curves.lines)):
        dashes = DASHES[index // len(COLOURS) % len(DASHES)]
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": dashes, "label": each.row.configuration}
        speed.axhline(each.speedup.value, **style)
        tokens.axhline(each.row.gen_rate, **style)
    speed.axhline(1.0, color=PLAIN, linewidth=1, linestyle=":")
    speed.set_title("speed-up over plain decoding (95%)")
    tokens.set_title("tokens per target pass")
    ticks = sorted({value for line in curves.lines.values() for value, _ in line})
    for axis in axes:
        if ticks[0] > 0 and ticks[-1] / ticks[0] > 4:
            axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel(AXES[curves.axis])
    tokens.legend(frameon=False)


def _value(configuration: str, axis: str) -> tuple[str, float] | None:
    """A configuration's name without the axis, and its value there; None if it has none, or no number."""
    parts = configuration.split(", ")
    for part in parts:
        label, _, value = part.rpartition(" ")
        if label == axis and value.isdigit():
            return ", ".join(each for each in parts if each != part), float(value)
    return None
