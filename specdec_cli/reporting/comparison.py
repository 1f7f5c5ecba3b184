"""Methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from specdec_cli.benchmarking.comparison import Standing

NOTHING = "-"


def comparison_table(standings: Sequence[Standing], title: str) -> Table:
    """One row a method; speed-ups are over the first row, paired round by round."""
    baseline, rounds = standings[0], len(standings[0].speedups)
    caption = f"Speed-up over {baseline.name}: median of {rounds} paired rounds (least-greatest)."
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for heading in ("tok/s", "speed-up", "tokens\nper pass", "acceptance\nrate", "same\ntokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for standing in standings:
        stats = standing.stats
        table.add_row(
            standing.name,
            f"{stats.tokens_per_second:.1f}",
            "1.00x" if standing is baseline else _speedup(standing),
            f"{stats.tokens_per_pass:.2f}",
            NOTHING if stats.acceptance_rate is None else f"{stats.acceptance_rate:.0%}",
            NOTHING if standing is baseline else _agreement(standing),
        )
    return table


def _speedup(standing: Standing) -> str:
    return f"{standing.speedup:.2f}x ({min(standing.speedups):.2f}-{max(standing.speedups):.2f})"


def _agreement(standing: Standing) -> str:
    return "all" if standing.first_difference is None else f"first {standing.first_difference}"
