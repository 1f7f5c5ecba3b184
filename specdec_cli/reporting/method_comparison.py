"""Methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.benchmarking.method_comparison import Standing
from specdec_cli.reporting.table import FittedTable, figures, names

NOTHING = "-"


def comparison_table(
    standings: Sequence[Standing], title: str, number_format: str, temperature: float
) -> FittedTable:
    """One row a method; speed-ups are over the first row, paired round by round.

    Args:
        standings: what was measured, the baseline first.
        title: of the table.
        number_format: that the target computes in, which decides whether greedy texts may part at ties.
        temperature: above 0, methods draw by chance of their own, and texts part by that.
    """
    baseline, rounds = standings[0], len(standings[0].speedups)
    caption = f"Speed-up over {baseline.name}: median of {rounds} paired rounds (least-greatest)."
    caption += _why_texts_part(standings, number_format, temperature)
    headings = figures("tok/s", "speed-up", "tokens per pass", "acceptance rate", "same tokens")
    table = FittedTable([*names("method"), *headings], title, caption)
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


def _why_texts_part(standings: Sequence[Standing], number_format: str, temperature: float) -> str:
    parted = any(each.first_difference is not None for each in standings)
    if temperature > 0:
        why = "above temperature 0, methods draw otherwise, from the same distribution"
    elif parted or number_format != "float32":
        why = f"in {number_format}, passes of other sizes round otherwise, and near-ties may fall either way"
    else:
        return ""
    return f" Same tokens, or the first that is another: {why}."


def _speedup(standing: Standing) -> str:
    return f"{standing.speedup:.2f}x ({min(standing.speedups):.2f}-{max(standing.speedups):.2f})"


def _agreement(standing: Standing) -> str:
    return "all" if standing.first_difference is None else f"first {standing.first_difference}"
