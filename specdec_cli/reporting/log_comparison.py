"""Two benchmark logs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.benchmarking.log_comparison import LogComparison
from specdec_cli.reporting.bench import ratio_text
from specdec_cli.reporting.table import FittedTable, figures, names

SCHEMA_VERSION = 1


def log_comparison_table(found: Sequence[LogComparison], least: float | None) -> FittedTable:
    """One row a configuration."""
    headings = figures("prompts", "tok/s", "ratio (95%)", "tokens per pass", "same text", "")
    title = "The second log under the first, paired by prompt; ratio: second over first"
    table = FittedTable([*names("configuration"), *headings], title)
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


def log_comparison_record(
    found: Sequence[LogComparison], least: float | None, failed: bool
) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "fail_below": least,
        "failed": failed,
        "configurations": [asdict(each) for each in found],
    }
