"""What acceptance depended on, as tables, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.benchmarking.detail import CATEGORY, DEPTH, ENTROPY, KINDS, POSITION, Group
from specdec_cli.benchmarking.summary import Ratio
from specdec_cli.reporting.bench import NOTHING, ratio_text
from specdec_cli.reporting.table import FittedTable, figures, names

TITLES = {
    POSITION: "Acceptance by position in the draft",
    CATEGORY: "Acceptance by category of the prompt",
    ENTROPY: "Acceptance by entropy of the target, in bits",
    DEPTH: "Acceptance by place in the output, in tokens",
}
CAPTIONS = {
    POSITION: "accepted: of the drafts that were right up to there and went on. of drafts: of all drafts.",
    CATEGORY: "accepted: levels of a draft at which a guess was accepted. gen_rate: tokens per target pass.",
    ENTROPY: "Of the target's own distribution, at temperature 1. levels: positions with guesses to judge.",
    DEPTH: "",
}


def detail_tables(groups: Sequence[Group]) -> list[FittedTable]:
    """A table for each kind of group."""
    return [_table(kind, [each for each in groups if each.kind == kind]) for kind in KINDS if groups]


def detail_markdown(groups: Sequence[Group]) -> str:
    """The same as Markdown tables under headings."""
    parts = []
    for kind in KINDS if groups else ():
        cells = [_cells(each) for each in groups if each.kind == kind]
        lines = [f"| {' | '.join(cells[0])} |", f"|{'---|' * len(cells[0])}"]
        lines += [f"| {' | '.join(each.values())} |" for each in cells]
        parts.append("\n".join([f"{TITLES[kind]}:", "", *lines]))
    return "\n\n".join(parts)


def detail_csv(groups: Sequence[Group]) -> str:
    """The same as one CSV table, a row a group."""
    buffer = io.StringIO()
    rows = [_flat(each) for each in groups]
    writer = csv.DictWriter(buffer, rows[0] if rows else ["configuration"])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")


def detail_record(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The same for JSON."""
    return [asdict(each) for each in groups]


def _table(kind: str, groups: Sequence[Group]) -> FittedTable:
    cells = [_cells(each) for each in groups]
    headings = list(cells[0])
    columns = [*names(*headings[:2]), *figures(*headings[2:])]
    table = FittedTable(columns, TITLES[kind], CAPTIONS[kind])
    earlier = ""
    for each in cells:
        if earlier and each["configuration"] != earlier:
            table.add_section()
        shown = "" if each["configuration"] == earlier else each["configuration"]
        earlier = each["configuration"]
        table.add_row(shown, *list(each.values())[1:])
    return table


def _cells(group: Group) -> dict[str, str]:
    cells = {
        "configuration": group.configuration,
        group.kind: group.label,
        "prompts": str(group.prompts),
        "levels": str(group.levels),
        "accepted (95%)": NOTHING if group.rate is None else share_text(group.rate),
    }
    if group.kind == CATEGORY:
        del cells["levels"]  # so that the table fits 80 columns
    if group.of_drafts is not None:
        cells["of drafts"] = f"{group.of_drafts:.0%}"
    if group.tokens_per_pass is not None:
        cells["gen_rate"] = f"{group.tokens_per_pass:.2f}"
        cells["speed-up (95%)"] = NOTHING if group.speedup is None else ratio_text(group.speedup)
    return cells


def share_text(rate: Ratio) -> str:
    """A share with its interval."""
    if rate.low is None or rate.high is None:
        return f"{rate.value:.0%}"
    return f"{rate.value:.0%} ({rate.low:.0%}-{rate.high:.0%})"


def _flat(group: Group) -> dict[str, object]:
    flat: dict[str, object] = asdict(group)
    for name in ("rate", "speedup"):
        ratio = getattr(group, name) or Ratio(float("nan"), None, None)
        flat |= {name: "" if ratio.value != ratio.value else ratio.value}
        flat |= {f"{name}_low": ratio.low, f"{name}_high": ratio.high}
    return flat
