"""Pictures of a benchmark: speed-up, tokens per pass and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from specdec_cli.benchmarking.summary import Row
from specdec_cli.errors import InputError
from specdec_cli.reporting.curves import PLAIN, draw_curves, ends, find_curves
from specdec_cli.storage.atomic import write_whole
from specdec_cli.storage.failures import writing

KINDS = (".png", ".svg", ".html")
DRAFT, VERIFY, REST = "#4477aa", "#ccbb44", "#bbbbbb"  # apart for every kind of colour vision


def require_plot(path: Path) -> None:
    """Check before a long run that a picture can be drawn into that file.

    Raises:
        InputError: matplotlib is missing, or the ending is none of `KINDS`.
    """
    if path.suffix.lower() not in KINDS:
        raise InputError(
            f"--plot {path} is no picture that can be drawn.", f"End it in {' or '.join(KINDS)}."
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("--plot needs matplotlib.", "pip install 'specdec-cli[plot]'") from error


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw a benchmark into a file, a sweep as curves; an .html file needs nothing from elsewhere.

    Raises:
        ResourceError: the disk is full.
        SpecdecError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves = find_curves(rows)
    size = (15, max(1.6 + 0.42 * len(rows), 4.5 if curves else 0))
    figure, axes = pyplot.subplots(1, 3, figsize=size, sharey=curves is None, layout="constrained")
    if curves is None:
        _speedups(axes[0], rows)
        _tokens_per_pass(axes[1], rows)
    else:
        draw_curves(axes[:2], curves)
    _time_shares(axes[2], rows)
    named = axes[0] if curves is None else axes[2]
    named.set_yticks(range(len(rows)), [row.configuration for row in rows])
    named.invert_yaxis()
    if path.suffix.lower() == ".html":
        buffer = StringIO()
        figure.savefig(buffer, format="svg")
        drawing = buffer.getvalue()
        head = "<!doctype html><meta charset=utf-8><title>specdec bench</title>"
        picture = f"{head}{drawing[drawing.index('<svg') :]}\n".encode()
    else:
        drawn = BytesIO()
        figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=150)
        picture = drawn.getvalue()
    pyplot.close(figure)
    with writing(path):
        write_whole(path, picture)


def _speedups(axis: Any, rows: Sequence[Row]) -> None:
    for index, row in enumerate(rows):
        ratio = row.speedup
        if ratio is None:
            axis.plot(1.0, index, "s", color=PLAIN)
            continue
        below, above = ends(ratio)
        axis.errorbar(ratio.value, index, xerr=[[below], [above]], fmt="o", color=DRAFT, capsize=3)
        end = (ratio.value + above, index)
        axis.annotate(f"{ratio.value:.2f}", end, (6, 0), textcoords="offset points", va="center")
    axis.axvline(1.0, color=PLAIN, linewidth=1, linestyle=":")
    axis.set_title("speed-up over plain decoding (95%)")
    axis.margins(x=0.15)


def _tokens_per_pass(axis: Any, rows: Sequence[Row]) -> None:
    bars = axis.barh(range(len(rows)), [row.gen_rate for row in rows], color=VERIFY)
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.set_title("tokens per target pass")
    axis.margins(x=0.15)


def _time_shares(axis: Any, rows: Sequence[Row]) -> None:
    left = [0.0] * len(rows)
    for label, colour, shares in (
        ("draft", DRAFT, [row.draft_share for row in rows]),
        ("target", VERIFY, [row.verify_share for row in rows]),
        ("rest", REST, [row.overhead_share for row in rows]),
    ):
        axis.barh(range(len(rows)), shares, left=left, color=colour, label=label)
        left = [one + other for one, other in zip(left, shares, strict=True)]
    axis.set_xlim(0, 1)
    legend = axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    legend.set_title("where the time goes", {"size": "large"})
