"""Two benchmark logs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from specdec_cli.benchmarking.compare import Comparison
from specdec_cli.reporting.bench import NAME_WIDTH, ratio_text

SCHEMA_VERSION = 1


def compare_table(found: Sequence[Comparison], least: float | None) -> Table:
    """One row a configuration."""
    table = Table(
        title="The second log under the first, paired by prompt; ratio: second over first",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("configuration", min_width=NAME_WIDTH)
    for name in ("prompts", "tok/s", "ratio\n(95%)", "tokens\nper pass", "same\ntext", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found:
        verdict = "" if least is None else f"below {least:g}" if each.surely_below(least) else "ok"
        table.add_row(
            each.configuration,
            str(each.prompts),
            f"{each.before:.1f}\n{each.after:.1f}",
            ratio_text(each.ratio).replace(" ", "\n"),
            f"{each.tokens_per_pass[0]:.2f}\n{each.tokens_per_pass[1]:.2f}",
            f"{each.same_text} of {each.prompts}",
            verdict,
        )
    return table


def compare_record(found: Sequence[Comparison], least: float | None, failed: bool) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "fail_below": least,
        "failed": failed,
        "configurations": [asdict(each) for each in found],
    }
