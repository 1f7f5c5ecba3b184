"""How a benchmark's records are shown: what `specdec bench` and `specdec report` have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.errors import CHECK_FAILED
from specdec_cli.settings import Settings
from specdec_cli.storage.output import claimed

if TYPE_CHECKING:
    from specdec_cli.benchmarking.records import Record


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", help="Draw the result: a .png, .svg or .html file.")
]
DetailOption = Annotated[
    bool,
    typer.Option(
        "--detail",
        help="What acceptance depends on: place in the draft, category, the target's entropy, place in the "
        "output. With --format csv, that table alone.",
    ),
]


@dataclass(frozen=True)
class Showing:
    """What is to be shown, and how.

    Attributes:
        format: of the print.
        plot: file to draw into, if any.
        detail: whether to say what acceptance depended on.
        quiet: no warnings.
    """

    format: Format
    plot: Path | None
    detail: bool
    quiet: bool


@contextmanager
def prepared(showing: Showing) -> Iterator[None]:
    """A block at whose end results are shown: what would keep them from it is known at its beginning.

    Raises:
        InputError: no picture can be drawn there.
    """
    from specdec_cli.reporting.plots import require_plot

    if showing.plot is not None:
        require_plot(showing.plot)
    with claimed(showing.plot, "--plot"):
        yield


def show_results(
    records: Sequence[Record],
    settings: Mapping[str, Settings],
    baselines: Mapping[str, str],
    machine: Mapping[str, str | int],
    title: str,
    showing: Showing,
) -> None:
    """Print a benchmark, and draw it where asked to; a broken promise ends in exit code 5."""
    from specdec_cli.benchmarking.detail import explain, unexplained
    from specdec_cli.benchmarking.summary import DRIFT, broken_promises, drift, summarise
    from specdec_cli.reporting import bench as show
    from specdec_cli.reporting import detail as why
    from specdec_cli.reporting.console import out, print_json, report_warning
    from specdec_cli.reporting.model_names import short_configurations
    from specdec_cli.reporting.plots import draw

    rows = summarise(records, baselines)
    groups = explain(records, baselines) if showing.detail else []
    moved = drift(records, next(iter(baselines.values())))
    if not showing.quiet:
        if moved is not None and abs(moved) > DRIFT:
            report_warning(f"Plain decoding's speed moved by {moved:+.0%} during the run; ratios are paired.")
        old = unexplained(records) if showing.detail else 0
        if old:
            report_warning(f"{old} runs of the log have no detail: an older version made them.")
    if showing.format is Format.JSON:  # under the names that the log has
        record = show.record(rows, settings, machine, moved)
        print_json(record | {"detail": why.detail_record(groups)} if showing.detail else record)
    short = short_configurations(settings)
    rows = [replace(row, configuration=short[row.configuration]) for row in rows]
    groups = [replace(group, configuration=short[group.configuration]) for group in groups]
    settings = {short[name]: each for name, each in settings.items()}
    if showing.plot is not None:
        draw(rows, showing.plot)
    if showing.format is Format.TABLE:
        for table in [*show.bench_tables(rows, settings, title), *why.detail_tables(groups)]:
            out().print(table)
    elif showing.format is Format.CSV:
        text = why.detail_csv(groups) if showing.detail else show.comma_separated(rows, settings)
        out().out(text, highlight=False)
    elif showing.format is Format.MARKDOWN:
        parts = [show.markdown(rows, settings), why.detail_markdown(groups)]
        out().out("\n\n".join(filter(None, parts)), highlight=False)
    require_kept(broken_promises(rows))


def require_kept(broken: Sequence[str]) -> None:
    """End with exit code 5 where texts are promised to be the baseline's bit for bit, and are not.

    That is a bug, whatever the figures are worth, so it is said even where nothing else is.

    Args:
        broken: names of the configurations that it is so of; none if all is well.
    """
    from specdec_cli.reporting.console import report_warning

    if broken:
        report_warning(f"Texts are not plain decoding's, though `identical` is bitwise: {', '.join(broken)}.")
        report_warning("That is a bug: `specdec audit --level greedy` with the same settings looks for it.")
        raise typer.Exit(CHECK_FAILED)
