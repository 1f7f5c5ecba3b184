"""What a run would take, as a table and as JSON: `--dry-run`, and the list of presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.models.memory_estimate import PROMPT, Estimate, total_bytes
from specdec_cli.reporting.console import out
from specdec_cli.reporting.table import FittedTable, figures, names

UNKNOWN = "unknown"
SHARED = "shared"


def show_plan(models: Sequence[Estimate], itemsize: int, free: int | None, facts: Sequence[str]) -> None:
    """Print the models and what they take, then other facts, a line each."""
    console = out()
    console.print(plan_table(models, itemsize))
    for line in [*_memory_lines(models, free), *_hub_lines(models), *facts]:
        console.print(line, soft_wrap=True)


def plan_record(
    models: Sequence[Estimate], itemsize: int, free: int | None, settings: Mapping[str, Any], **facts: object
) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "schema_version": 1,
        "dry_run": True,
        "models": [asdict(each) for each in models],
        "bytes_per_weight": itemsize,
        "prompt_tokens_assumed": PROMPT,
        "total_bytes": total_bytes(list(models)),
        "free_bytes": free,
        "needs_hub": any(each.needs_hub for each in models),
        "settings": dict(settings),
        **facts,
    }


def needs_text(models: Sequence[Estimate], more: str) -> str:
    """What a preset needs, in a few words."""
    total = total_bytes(list(models))
    parts = ["memory unknown" if total is None else f"{gigabytes(total)} memory"]
    if any(each.needs_hub for each in models):
        parts.append("a hub (gated)" if any(each.gated for each in models) else "a hub")
    return ", ".join([*parts, *filter(None, (more,))])


def gigabytes(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB"


def plan_table(models: Sequence[Estimate], itemsize: int) -> FittedTable:
    """One row a model: what it takes of memory."""
    caption = f"{itemsize} bytes a weight unless the model says otherwise; prompt of {PROMPT:,} tokens."
    columns = [*names("role", "model"), *figures("parameters", "weights", "cache")]
    table = FittedTable(columns, "Plan: nothing was loaded", caption)
    for each in models:
        shared = each.weight_bytes == 0
        count = UNKNOWN if each.parameters is None else f"{each.parameters / 1e6:,.0f} M"
        count = SHARED if shared else count
        sizes = (each.weight_bytes, each.cache_bytes)
        cells = [UNKNOWN if size is None else gigabytes(size) if size else SHARED for size in sizes]
        table.add_row(each.role, each.name, f"about {count}" if each.guessed else count, *cells)
    return table


def _memory_lines(models: Sequence[Estimate], free: int | None) -> list[str]:
    total = total_bytes(list(models))
    if total is None:
        return ["Memory: unknown, since a model's size is."]
    if free is None:
        return [f"Memory: about {gigabytes(total)}."]
    verdict = "it fits" if free >= total else "it does not fit"
    return [f"Memory: about {gigabytes(total)}; {gigabytes(free)} free here, so {verdict}."]


def _hub_lines(models: Sequence[Estimate]) -> list[str]:
    wanted = [f"{each.name}{' (gated)' if each.gated else ''}" for each in models if each.needs_hub]
    return [f"From a hub: {', '.join(wanted)}."] if wanted else ["From a hub: nothing."]
