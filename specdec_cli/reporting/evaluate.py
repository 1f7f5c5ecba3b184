"""Scores as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specdec_cli.evaluation.metrics.table import heading
from specdec_cli.evaluation.scoring import Difference, Score, ScoreRow
from specdec_cli.reporting.table import FittedTable, figures, names

SCHEMA_VERSION = 1
NOTHING = "-"


def scores_table(path: Path, rows: Sequence[ScoreRow]) -> FittedTable:
    """The scores of each language and data set, a line each."""
    headings = figures("language", "answers", "empty", "score", "", "95% interval", "scored")
    table = FittedTable([*names("data set"), *headings], str(path), _caption(rows))
    for row in rows:
        start = [row.dataset, row.language, str(row.answers), str(row.empty)]
        for name, score in row.scores.items():
            if not score.detail:
                table.add_row(*start, heading(name), *_cells(score))
                start = [""] * len(start)
        table.add_section()
    return table


def _cells(score: Score) -> tuple[str, str, str]:
    known = score.low is not None and score.high is not None
    return f"{score.value:.2f}", f"{score.low:.2f}-{score.high:.2f}" if known else NOTHING, str(score.answers)


def _caption(rows: Sequence[ScoreRow]) -> str:
    notes = dict.fromkeys(
        f"{name.partition('-')[0]} ({row.language}): {score.note}."
        for row in rows
        for name, score in row.scores.items()
        if score.note and not score.detail
    )
    return " ".join(["From 0 to 100; intervals by bootstrap over answers.", *notes])


def differences_table(first: Path, second: Path, found: Sequence[Difference]) -> FittedTable:
    """One row a score: both files' and the difference."""
    columns = [*names("score"), *figures("", "n", "first", "second", "difference (95%)", "")]
    title = f"{second} less {first}, paired by answer"
    caption = "Of the answers that both files have. Intervals: 95%, bootstrap over pairs."
    table = FittedTable(columns, title, caption)
    for each in found:
        table.add_row(
            heading(each.name),
            each.language,
            str(each.answers),
            f"{each.first:.2f}",
            f"{each.second:.2f}",
            _difference(each),
            _verdict(each),
        )
    return table


def _difference(each: Difference) -> str:
    if each.low is None or each.high is None:
        return f"{each.difference:+.2f}"
    return f"{each.difference:+.2f} ({each.low:+.2f}, {each.high:+.2f})"


def _verdict(each: Difference) -> str:
    if each.low is None or each.high is None or each.low <= 0 <= each.high:
        return "unclear"
    return "better" if each.low > 0 else "worse"


def file_record(path: Path, rows: Sequence[ScoreRow], remarks: Sequence[str]) -> dict[str, Any]:
    """One file's scores for JSON, unrounded."""
    return {"file": str(path), "rows": [asdict(row) for row in rows], "remarks": list(remarks)}


def evaluation_record(
    files: Sequence[dict[str, Any]], compared: Path | None, found: Sequence[Difference]
) -> dict[str, Any]:
    """Everything for JSON."""
    record: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "files": list(files)}
    if compared is not None:
        record["compared_with"] = str(compared)
        record["differences"] = [asdict(each) for each in found]
    return record
