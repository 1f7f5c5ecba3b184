"""A benchmark as a table, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from specdec_cli.benchmarking.run import Progress
from specdec_cli.benchmarking.summary import Ratio, Row
from specdec_cli.progress import log
from specdec_cli.registry.methods import METHODS
from specdec_cli.reporting.console import err, progress_lines_enabled, report_line
from specdec_cli.reporting.table import FittedTable, figures, names
from specdec_cli.settings import Settings

SCHEMA_VERSION = 1
NOTHING = "-"


class BarProgress(Progress):
    """A bar with the time left, on a terminal; nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._quiet = quiet
        self._bar = Bar(*columns, console=err(), transient=True, disable=not progress_lines_enabled(quiet))
        self._task = self._bar.add_task("Measuring", total=None)

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, total: int) -> None:
        log(f"{total} runs", above=1)
        self._bar.update(self._task, total=total)

    def peer(self, name: str, settings: Mapping[str, object]) -> None:
        text = f"{name}: {', '.join(f'{key}={value}' for key, value in settings.items())}"
        if self._quiet:
            log(text, above=1)
        else:
            report_line(text)

    def advance(self, what: str) -> None:
        log(what, logging.DEBUG, above=1)
        self._bar.update(self._task, advance=1, description=what)


def columns(row: Row, settings: Settings) -> dict[str, str]:
    """One row's cells by heading; SpecExec's names where it has one."""
    method = METHODS[settings.method]
    tree, ranked = "max_beam_len" in method.reads, method.ranks_guesses
    return {
        "configuration": row.configuration,
        "beams": str(settings.max_n_beams) if ranked else NOTHING,
        "max_h": str(settings.max_beam_len) if tree else NOTHING,
        "budget": str(settings.node_budget or "auto") if tree else NOTHING,
        "minLP": f"{settings.min_log_prob:g}" if ranked and settings.min_log_prob is not None else NOTHING,
        "branch": str(settings.max_branch_width) if "max_branch_width" in method.reads else NOTHING,
        "t0": f"{row.draft_seconds:.4f}",
        "t1": f"{row.verify_seconds:.4f}",
        "tree_h": f"{row.tree_depth:.1f}",
        "tree_size": f"{row.tree_size:.1f}",
        "min_CLP": NOTHING if row.least_score is None else f"{row.least_score:.2f}",
        "exp_time": f"{row.seconds:.1f}",
        "gen_rate": f"{row.gen_rate:.2f}",
        "gen_speed": f"{row.gen_speed:.2f}",
        "accepted": NOTHING if row.acceptance_rate is None else f"{row.acceptance_rate:.0%}",
        "calls": NOTHING if row.calls_per_token is None else f"{row.calls_per_token:.2f}",
        "by model": _by_model(row),
        "identical": row.identical or NOTHING,
        "speed-up (95%)": "1.00x" if row.speedup is None else ratio_text(row.speedup),
        "draft/verify/rest": f"{row.draft_share:.0%}/{row.verify_share:.0%}/{row.overhead_share:.0%}",
        "ttft": f"{row.first_token_seconds:.2f}",
        "mem_use": f"{row.memory_bytes / 2**30:.2f}",
    }


def _by_model(row: Row) -> str:
    rates = [NOTHING if rate is None else f"{rate:.0%}" for rate in row.member_acceptance]
    return " ".join(rates) if any(rate != NOTHING for rate in rates) else NOTHING


def ratio_text(ratio: Ratio) -> str:
    """A ratio with its interval."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}x"
    return f"{ratio.value:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


RESULT = ("gen_speed", "speed-up (95%)", "gen_rate", "calls", "accepted", "by model", "identical")
TIMES = ("t0", "t1", "draft/verify/rest", "ttft", "exp_time", "mem_use")
RESULT_CAPTION = (
    "gen_speed: tokens per second, the prompt apart. speed-up: over plain decoding of the same prompts, "
    "paired, geometric mean. gen_rate: tokens per target pass. accepted: of the drafted tokens."
)
IDENTICAL_CAPTION = (
    " identical: texts are plain decoding's token for token (bitwise), or but for rounding (up to ties)."
)
ENSEMBLE_CAPTION = (
    " Ensembles: speed-up over asking every model for every token (plain); calls: passes of all models per "
    "token; by model: accepted of what each proposed."
)
TIMES_CAPTION = (
    "t0, t1: seconds a step drafting and verifying. draft/verify/rest: shares of the decode time. ttft: "
    "seconds to the first token. exp_time: seconds, prompts included. mem_use: GiB."
)
TREE = ("beams", "max_h", "budget", "minLP", "branch", "tree_h", "tree_size", "min_CLP")
TREE_CAPTION = (
    "tree_h, tree_size: levels and guesses drafted. min_CLP: least cumulative log-probability in the tree."
)


def bench_tables(rows: Sequence[Row], settings: Mapping[str, Settings], title: str) -> list[FittedTable]:
    """The result, the times and the trees; a column or a table that says nothing of any row is left out."""
    cells = [columns(row, settings[row.configuration]) for row in rows]
    ensembles = any(row.calls_per_token is not None for row in rows)
    promised = any(row.identical for row in rows)
    caption = RESULT_CAPTION + IDENTICAL_CAPTION * promised + ENSEMBLE_CAPTION * ensembles
    parts: list[tuple[Sequence[str], str, str]] = [(RESULT, title, caption), (TIMES, "Times", TIMES_CAPTION)]
    if any(row.tree_size for row in rows):
        parts.append((TREE, "Trees", TREE_CAPTION))
    return [_table(cells, *part) for part in parts]


def _table(
    cells: Sequence[Mapping[str, str]], headings: Sequence[str], title: str, caption: str
) -> FittedTable:
    shown = [name for name in headings if any(each[name] != NOTHING for each in cells)]
    table = FittedTable([*names("configuration"), *figures(*shown)], title, caption)
    for each in cells:
        table.add_row(each["configuration"], *(each[name] for name in shown))
    return table


def markdown(rows: Sequence[Row], settings: Mapping[str, Settings]) -> str:
    """The same as a Markdown table."""
    cells = [columns(row, settings[row.configuration]) for row in rows]
    names = list(cells[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join([*lines, *(f"| {' | '.join(each.values())} |" for each in cells)])


def comma_separated(rows: Sequence[Row], settings: Mapping[str, Settings]) -> str:
    """The same as CSV, the interval in columns of its own."""
    buffer = io.StringIO()
    records = [
        {"prompts": row.prompts, **columns(row, settings[row.configuration]), **_interval(row)}
        for row in rows
    ]
    writer = csv.DictWriter(buffer, records[0])
    writer.writeheader()
    writer.writerows(
        {name: "" if value == NOTHING else value for name, value in each.items()} for each in records
    )
    return buffer.getvalue().rstrip("\n")


def record(
    rows: Sequence[Row],
    settings: Mapping[str, Settings],
    machine: Mapping[str, str | int],
    drift: float | None,
) -> dict[str, Any]:
    """The same as JSON, with settings and machine."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": [asdict(row) | {"settings": asdict(settings[row.configuration])} for row in rows],
        "drift": drift,
        "machine": dict(machine),
    }


def _interval(row: Row) -> dict[str, float | None]:
    ratio = row.speedup or Ratio(1.0, None, None)
    return {"speedup": ratio.value, "speedup_low": ratio.low, "speedup_high": ratio.high}
