"""`specdec report`: a benchmark's log as it would have been printed, without the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.cli import options as opt
from specdec_cli.cli.results import (
    DetailOption,
    Format,
    FormatOption,
    PlotOption,
    Showing,
    prepared,
    show_results,
)


def report(
    log: Annotated[Path, typer.Argument(help="A log of `specdec bench --exp-name`.")],
    detail: DetailOption = False,
    format: FormatOption = Format.TABLE,
    plot: PlotOption = None,
    quiet: opt.QuietOption = False,
) -> None:
    """Print what a log of `specdec bench` holds, from the file alone."""
    from specdec_cli.benchmarking.records import baselines_of, machine_in, read_log, settings_in
    from specdec_cli.reporting.model_names import short_name
    from specdec_cli.reporting.streaming import link_note

    showing = Showing(format, plot, detail, quiet)
    with prepared(showing):
        records, settings = read_log(log), settings_in(log)
        prompts = len({record.item for record in records})
        first = next(iter(settings.values()))
        length = f"up to {first.max_tokens} tokens{link_note(first.link_gbps)}"
        title = f"{short_name(first.target)}, {prompts} prompts, {length}"
        show_results(records, settings, baselines_of(records), machine_in(log), title, showing)
