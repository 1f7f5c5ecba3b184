"""Methods side by side."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.benchmarking.method_comparison import MethodComparison
from specdec_cli.reporting.table import FittedTable, figures, names
from specdec_cli.runtime.promise import UP_TO_TIES

NOTHING = "-"


def method_comparison_table(found: Sequence[MethodComparison], title: str, number_format: str) -> FittedTable:
    """One row a method; speed-ups are over the first row, paired round by round.

    Args:
        found: what was measured, the baseline first.
        title: of the table.
        number_format: that the target computes in: in float32, texts that may part at ties seldom do.
    """
    baseline, rounds = found[0], len(found[0].speedups)
    caption = f"Speed-up over {baseline.name}: median of {rounds} paired rounds (least-greatest)."
    caption += _why_texts_part(found, number_format)
    headings = figures("tok/s", "speed-up", "tokens per pass", "acceptance rate", "identical", "same tokens")
    table = FittedTable([*names("method"), *headings], title, caption)
    for each in found:
        stats = each.stats
        table.add_row(
            each.name,
            f"{stats.tokens_per_second:.1f}",
            "1.00x" if each is baseline else _speedup(each),
            f"{stats.tokens_per_pass:.2f}",
            NOTHING if stats.acceptance_rate is None else f"{stats.acceptance_rate:.0%}",
            each.identical or NOTHING,
            NOTHING if each is baseline else _agreement(each),
        )
    return table


def _why_texts_part(found: Sequence[MethodComparison], number_format: str) -> str:
    parted = any(each.first_difference is not None for each in found)
    promises = {each.identical for each in found}
    if None in promises:
        why = "above temperature 0, methods draw otherwise, from the same distribution"
    elif UP_TO_TIES in promises and (parted or number_format != "float32"):
        why = f"in {number_format}, passes of other sizes round otherwise, and near-ties may fall either way"
    else:
        return ""
    return f" Same tokens, or the first that is another: {why}."


def _speedup(each: MethodComparison) -> str:
    return f"{each.speedup:.2f}x ({min(each.speedups):.2f}-{max(each.speedups):.2f})"


def _agreement(each: MethodComparison) -> str:
    return "all" if each.first_difference is None else f"first {each.first_difference}"
