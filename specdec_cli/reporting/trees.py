"""Static trees and plans as tables."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.benchmarking.acceptance import Costs
from specdec_cli.drafting.planning import Plan
from specdec_cli.drafting.shapes import StaticTree
from specdec_cli.reporting.console import out
from specdec_cli.reporting.table import Column, FittedTable, figures, texts

SHOWN = 16  # numbers of children on one line


def shape_table(shape: StaticTree, title: str) -> FittedTable:
    """One row a level: its nodes, and how many children each of them has."""
    columns = [Column("level", key=True), *figures("guesses"), *texts("children of each")]
    table = FittedTable(columns, f"{title}: {shape.size} guesses, {shape.depth} levels")
    counts = shape.child_counts()
    for number, level in enumerate(shape.levels(), 1):
        children = [str(counts[node + 1]) for node in level]
        rest = " ..." if len(children) > SHOWN else ""
        table.add_row(str(number), str(len(level)), " ".join(children[:SHOWN]) + rest)
    return table


def show_plan(plan: Plan, acceptance: Sequence[float], costs: Costs | None) -> None:
    """Print the planned tree, and what it was planned from."""
    console = out()
    if plan.tree.size:
        console.print(shape_table(plan.tree, f"Planned for {plan.tokens_per_pass:.2f} tokens a pass"))
    else:
        console.print("Do not speculate here: plain decoding is expected to be the fastest.\n")
    shares = ", ".join(f"{share:.3f}" for share in acceptance)
    console.print(f"Accepted was the first, second, ... child of a node: {shares}")
    if costs is not None:
        passes = ", ".join(f"{size}: {1000 * seconds:.0f}" for size, seconds in costs.pass_seconds.items())
        console.print(f"Target pass, ms by number of tokens: {passes}")
        console.print(f"Draft pass: {1000 * costs.draft_seconds:.1f} ms")
    if plan.tree.size and plan.seconds is not None and costs is not None:
        gain = plan.tokens_per_pass * costs.pass_seconds[1] / plan.seconds
        console.print(f"Expected speed-up over plain decoding: {gain:.2f}x")
