"""A replay of a trace as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.benchmarking.replays import ReplayRow
from specdec_cli.reporting.bench import NOTHING
from specdec_cli.reporting.model_names import short_configurations
from specdec_cli.reporting.table import FittedTable, figures, names
from specdec_cli.settings import Settings

SCHEMA_VERSION = 1
CAPTION = (
    "tokens per pass: expected, over the verifier's chance. known: of the guesses, those below places that "
    "the trace knows; the others count as rejected."
)


def replay_tables(rows: Sequence[ReplayRow]) -> list[FittedTable]:
    """A table for each recorded configuration: itself first, then the methods replayed on it."""
    names = dict.fromkeys(row.recorded for row in rows)
    short = short_configurations(names)
    return [_table(short[name], [row for row in rows if row.recorded == name]) for name in names]


def replay_record(rows: Sequence[ReplayRow], settings: Mapping[str, Settings], top: int) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "top": top,
        "rows": [asdict(row) for row in rows],
        "settings": {name: asdict(each) for name, each in settings.items()},
    }


def _table(name: str, rows: Sequence[ReplayRow]) -> FittedTable:
    own = rows[0]
    title = f"Recorded with {name}: {own.prompts} prompts, {own.passes} passes"
    headings = figures("tokens per pass (95%)", "tree_size", "known")
    table = FittedTable([*names("method"), *headings], title, CAPTION)
    if own.observed is not None and own.with_models is not None:
        table.add_row("as it came out", f"{own.observed:.3f}", f"{own.tree_size:.1f}", NOTHING)
        table.add_row("with the models", f"{own.with_models:.3f}", f"{own.tree_size:.1f}", NOTHING)
    for row in rows:
        shown = row.method or "from the trace"
        table.add_row(shown, _tokens(row), f"{row.tree_size:.1f}", f"{row.known:.0%}")
        if not row.method:
            table.add_section()
    return table


def _tokens(row: ReplayRow) -> str:
    ends = "" if row.low is None or row.high is None else f" ({row.low:.2f}-{row.high:.2f})"
    return f"{row.tokens_per_pass:.3f}{ends}"
