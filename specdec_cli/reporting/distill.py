"""A distillation on the screen: bars with the time left, what was measured on the way, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from specdec_cli.distillation.run import Distilled
from specdec_cli.distillation.speedup_estimate import SpeedupReport
from specdec_cli.progress import log
from specdec_cli.reporting.console import err, out, progress_lines_enabled, report_line
from specdec_cli.reporting.table import Column, FittedTable, figures


class Watch:
    """Shows a distillation on stderr."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
        self._bar = Progress(
            *columns, TimeRemainingColumn(), console=err(), disable=not progress_lines_enabled(quiet)
        )
        self._task: TaskID | None = None

    @contextmanager
    def phase(self, name: str, total: int, done: int) -> Iterator[None]:
        """A bar for a part of the work."""
        if done < total:
            self.say(f"{name}: {done:,} of {total:,} done before" if done else f"{name}: {total:,}")
        with self._bar:
            self._task = self._bar.add_task(name, total=total, completed=done)
            yield
            self._bar.remove_task(self._task)

    def advance(self, units: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task, units)

    def measured(self, row: dict[str, float]) -> None:
        """A line for what was measured."""
        shares = "  ".join(
            f"T={name.removeprefix('accepted_')} {value:.1%}"
            for name, value in row.items()
            if name.startswith("accepted_")
        )
        self.say(
            f"step {row['step']:>6,}  loss {row['loss']:.3f}  accepted {shares}  top 4 {row['top_4']:.1%}"
        )

    def say(self, text: str) -> None:
        """A line of news."""
        if self._quiet or self._bar.live.is_started:
            log(text, above=1)
        if self._bar.live.is_started:
            self._bar.console.print(text, style="dim", soft_wrap=True)
        elif not self._quiet:
            report_line(text)


def show_report(found: Distilled, expected: SpeedupReport) -> None:
    """Print what was made and what it promises."""
    console = out()
    console.print(
        f"{found.folder}: {found.parameters / 1e6:.1f}M parameters, {found.file_bytes / 1e6:.1f} MB, "
        f"{found.vocabulary:,} tokens; a draft pass takes {expected.relative_cost:.1%} of a target pass "
        f"({1e3 * expected.draft_pass:.2f} ms of {1e3 * expected.target_pass:.1f} ms)"
    )
    console.print(acceptance_table(found))
    console.print(estimate_table(expected))
    if all(estimate.tree_speed_up <= 1 for estimate in expected.estimates.values()):
        console.print("On this machine it is best not to speculate with this draft.")


def acceptance_table(found: Distilled) -> FittedTable:
    """One row a temperature."""
    acceptance = found.acceptance
    depths = len(next(iter(acceptance.accepted.values())))
    guesses = figures(*(f"guess {depth + 1}" for depth in range(depths)))
    columns = [Column("temperature", key=True), *guesses, *figures("in top 4")]
    table = FittedTable(columns, f"Acceptance on {acceptance.positions:,} held-out positions")
    for temperature, shares in acceptance.accepted.items():
        cells = (f"{share:.1%}" for share in shares)
        table.add_row(f"{temperature:g}", *cells, f"{sum(acceptance.ranks[temperature][:4]):.1%}")
    return table


def estimate_table(expected: SpeedupReport) -> FittedTable:
    """One row a temperature."""
    headings = figures("chain", "tokens/pass", "speed-up", "tree", "tokens/pass", "speed-up")
    table = FittedTable([Column("temperature", key=True), *headings], "Predicted on this machine")
    for temperature, estimate in expected.estimates.items():
        table.add_row(
            f"{temperature:g}",
            f"{estimate.gamma}",
            f"{estimate.chain_tokens_per_pass:.2f}",
            f"{estimate.chain_speed_up:.2f}x",
            f"{estimate.budget}",
            f"{estimate.tree_tokens_per_pass:.2f}",
            f"{estimate.tree_speed_up:.2f}x",
        )
    return table
