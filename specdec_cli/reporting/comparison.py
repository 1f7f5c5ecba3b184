"""Methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from specdec_cli.benchmarking.comparison import Standing

NOTHING = "-"


def comparison_table(standings: Sequence[Standing], title: str) -> Table:
    """One row a method; speed-ups are over the first row, paired round by round."""
    rounds = len(standings[0].speedups)
    caption = f"Speed-up: median of {rounds} paired rounds over {standings[0].name} (least to greatest)."
    table = Table(title=title, caption=caption)
    table.add_column("method", no_wrap=True)
    for heading in ("tok/s", "speed-up", "tokens per pass", "acceptance rate"):
        table.add_column(heading, justify="right")
    table.add_column("tokens")
    for standing in standings:
        stats = standing.stats
        table.add_row(
            standing.name,
            f"{stats.tokens_per_second:.1f}",
            _speedup(standing, baseline=standing is standings[0]),
            f"{stats.tokens_per_pass:.2f}",
            NOTHING if stats.acceptance_rate is None else f"{stats.acceptance_rate:.0%}",
            "the same"
            if standing.first_difference is None
            else f"differ from {standing.first_difference + 1}",
        )
    return table


def _speedup(standing: Standing, baseline: bool) -> str:
    if baseline:
        return "1.00x"
    return f"{standing.speedup:.2f}x ({min(standing.speedups):.2f} to {max(standing.speedups):.2f})"
