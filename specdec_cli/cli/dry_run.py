"""`--dry-run`: what a run would do and take, without fetching or loading anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.settings import Resolved, Settings

if TYPE_CHECKING:
    from specdec_cli.models.memory_estimate import Estimate

STAYS = "What stays in memory is planned, and refused if it cannot, when the run starts."
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be loaded and whether it fits, and end there."),
]


def plan_generate(resolved: Resolved, as_json: bool) -> None:
    """Print a generation's settings and its models' needs."""
    from specdec_cli.reporting.console import out
    from specdec_cli.reporting.presets import settings_table

    if not as_json:
        out().print(settings_table(resolved, None))
    _show([resolved.settings], (), as_json)


def plan_bench(settings: Sequence[tuple[str, Settings]], facts: Sequence[str], as_json: bool) -> None:
    """Print a benchmark's configurations and their models' needs."""
    from specdec_cli.reporting.console import out

    if not as_json:
        out().print("Configurations:", soft_wrap=True)
        for name, _ in settings:
            out().print(f"  {name}", soft_wrap=True)
    _show([each for _, each in settings], facts, as_json)


def _show(settings: Sequence[Settings], facts: Sequence[str], as_json: bool) -> None:
    from dataclasses import asdict

    from specdec_cli.models.hardware import free_memory, resolve_device, resolve_dtype
    from specdec_cli.models.memory_estimate import cache_itemsize
    from specdec_cli.reporting.console import print_json
    from specdec_cli.reporting.plan import plan_record, show_plan
    from specdec_cli.runtime.offload import device_of

    first = settings[0]
    device = resolve_device(device_of(first))
    itemsize = resolve_dtype(first.dtype, device).itemsize
    if first.offload != "none":
        facts = [*facts, f"Offloaded ({first.offload}): the target's layers need not fit. {STAYS}"]
    models = _models(settings, itemsize, cache_itemsize(itemsize, device.type == "cpu"))
    free = free_memory(device) if first.offload == "none" else None
    if as_json:
        print_json(plan_record(models, itemsize, free, asdict(settings[-1]), facts=list(facts)))
    else:
        show_plan(models, itemsize, free, facts)


def _partners(settings: Settings) -> tuple[str, ...]:
    from specdec_cli.registry.methods import METHODS
    from specdec_cli.settings.ensembles import member_names

    return member_names(settings)[1:] if METHODS[settings.method].is_ensemble else ()


def _models(settings: Sequence[Settings], itemsize: int, cached: int) -> list[Estimate]:
    """The target, then every draft and every other model of an ensemble that any of the settings uses."""
    from specdec_cli.models.hub.hf_hub import cached_folder
    from specdec_cli.models.memory_estimate import PROMPT, estimate, estimate_draft
    from specdec_cli.runtime.build import largest_tree
    from specdec_cli.settings.draft_spec import parse_draft, resolve_draft

    def here(found: Estimate) -> Estimate:
        on_disk = found.needs_hub and cached_folder(found.name) is not None
        return replace(found, needs_hub=False, gated=False) if on_disk else found

    first = settings[0]
    tokens = PROMPT + first.max_tokens + max(largest_tree(each) for each in settings)
    bytes_each = {"itemsize": itemsize, "cached": cached, "tokens": tokens}
    target = here(estimate("target", first.target, **bytes_each, quantize=first.quantize))
    named = dict.fromkeys(
        draft
        for each in settings
        for draft in (resolve_draft(each), *map(parse_draft, _partners(each)))
        if draft is not None
    )
    found = {
        draft.name: estimate_draft(draft, target, **bytes_each, quantize=first.draft_quantize)
        for draft in named
    }
    models = {draft.name for draft in named if draft.is_model}
    return [
        target,
        *(here(each) if name in models else each for name, each in found.items() if each is not None),
    ]
