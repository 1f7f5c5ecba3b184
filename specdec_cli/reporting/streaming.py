"""The plan of an offloaded run and what its streaming came to, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.benchmarking.streaming import StreamRow
from specdec_cli.models.offload.memory_plan import Plan
from specdec_cli.reporting.table import FittedTable, figures, names

MIB = 2**20
HEADINGS = ("MB/token", "GB/s", "link", "of link", "hidden", "tok/s", "limit", "of limit")
CAPTION = (
    "MB/token: streamed for each emitted token. link: GB/s without computing, read after each text. of link: "
    "the share reached. hidden: share of the transfer in which the computation did not wait. limit: tokens "
    "per pass x link / bytes of a pass; above 100%, the link was faster before. The first step is left out."
)


def plan_lines(plan: Plan) -> list[str]:
    """The plan in a few lines: what takes memory, and what is streamed."""
    parts = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in plan.parts.items() if size)
    streamed = f"{plan.pass_bytes / 1e6:,.0f} MB of {plan.weights / 1e6:,.0f} MB of weights in every pass"
    limit = f" of at most {plan.limit / MIB:,.0f}" if plan.limit < 1 << 60 else ""
    return [f"Plan: {plan.total / MIB:,.0f} MiB{limit}: {parts} (MiB).", f"Streams {streamed}."]


def stream_table(rows: Sequence[StreamRow], how: str, simulated: float | None) -> FittedTable:
    """Streaming by configuration."""
    link = "" if simulated is None else f"simulated link of {simulated:g} GB/s, "
    columns = [*names("configuration"), *figures(*HEADINGS)]
    table = FittedTable(columns, f"Streaming: {link}read by {how}", CAPTION)
    for row in rows:
        table.add_row(row.configuration, *_cells(row))
    return table


def _cells(row: StreamRow) -> tuple[str, ...]:
    return (
        f"{row.bytes_per_token / 1e6:.1f}",
        f"{row.bandwidth / 1e9:.2f}",
        f"{row.link / 1e9:.2f}",
        f"{row.bandwidth_share:.0%}",
        f"{row.hidden:.0%}",
        f"{row.speed:.2f}",
        f"{row.limit:.2f}",
        f"{row.limit_share:.0%}",
    )


def link_note(simulated: float | None) -> str:
    """What titles and figures say of a link that is slower than the machine's own; empty without one."""
    return "" if simulated is None else f", simulated link of {simulated:g} GB/s"


def memory_line(peak: int, plan: Plan) -> str:
    """Peak memory beside the plan."""
    off = peak / plan.total - 1
    return f"Peak memory {peak / MIB:,.0f} MiB, {off:+.0%} against the plan of {plan.total / MIB:,.0f} MiB."


def stream_record(
    rows: Sequence[StreamRow], how: str, simulated: float | None, plan: Plan, peak: int
) -> dict[str, Any]:
    """The same as JSON: bytes, seconds, and shares of 1."""
    return {
        "streaming": [asdict(row) for row in rows],
        "read_by": how,
        "simulated_gbps": simulated,
        "plan": asdict(plan) | {"total": plan.total},
        "peak_memory_bytes": peak,
    }
