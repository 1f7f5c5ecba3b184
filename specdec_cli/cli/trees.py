"""`specdec trees`: the static trees that multi-draft methods fill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.cli.usual import or_usual
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import Settings, load_settings
from specdec_cli.storage.output import Output, claimed

if TYPE_CHECKING:
    from specdec_cli.benchmarking.acceptance import Costs
    from specdec_cli.drafting.planning import Plan
    from specdec_cli.runtime.session import Session

# Of the others, how often a child is accepted depends on how many siblings it has.
PLANNED = tuple(name for name, method in METHODS.items() if method.plannable)

USUAL = {"max_tokens": 64}

app = typer.Typer(help="Plan and show static draft trees.", no_args_is_help=True, rich_markup_mode="rich")


@app.command()
def show(
    tree: Annotated[str, typer.Argument(help="4x2x2, 2^5, [-1, -1, 0], a .json or a .pt file.")],
    as_json: opt.JsonOption = False,
) -> None:
    """Show a tree's levels, or its parents as JSON."""
    from specdec_cli.drafting.shapes import parse_tree
    from specdec_cli.reporting.console import out, print_json
    from specdec_cli.reporting.trees import shape_table

    shape = parse_tree(tree)
    if as_json:
        print_json({"parents": list(shape.parents)})
    else:
        out().print(shape_table(shape, tree))


@app.command()
@takes_settings(
    *groups.TARGET,
    *groups.DRAFT,
    *groups.LAW,
    "max_tokens",
    *groups.ASKING,
    usual=USUAL,
    leaves_out={
        **because("what is measured takes larger passes than an offloaded run plans for", *groups.OFFLOADING),
        **because("acceptance is measured on texts that the target ends itself", "stop", "ignore_eos"),
        "method": "--method is an option of its own here, with another default",
        "verify": "what is measured is each sibling's chance by recursive rejection, token by token",
        "tree": "it is what is planned",
        "hub_above": "hubs are spechub's, for which no tree can be planned",
        "gamma": "it is the length of a chain, and no tree",
        **because("--budget and --max-depth say how large the tree may be", *groups.GROWTH),
        "ngram_size": "n-grams have no siblings whose acceptance could be measured",
        **because("no tree can be planned for an ensemble", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
    },
)
def plan(
    *,
    budget: Annotated[
        int, typer.Option("--budget", min=1, max=4096, help="Guesses in the tree, at most.")
    ] = 16,
    max_depth: Annotated[int, typer.Option("--max-depth", min=1, max=64, help="Levels, at most.")] = 8,
    fastest: Annotated[
        bool, typer.Option("--fastest", help="Weigh tokens by what passes cost on this machine.")
    ] = False,
    n_tests: Annotated[int, typer.Option(min=1, max=opt.MOST, help="Shipped prompts to measure on.")] = 8,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the tree to this .json file.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method whose guesses fill the tree.")] = "sequoia",
    given: Given,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Plan the tree of most expected tokens a pass, or a second, from measured acceptance.

    Use it with --method sequoia --tree FILE.
    """
    settings = or_usual(load_settings(flags={**given, "method": method}), USUAL)
    if settings.method not in PLANNED:
        problem = f"No tree can be planned for the method {method}."
        raise InputError(
            problem, f"Choose one of {', '.join(PLANNED)}, whose acceptance is the same in any tree."
        )
    if output is not None and output.suffix.lower() != ".json":
        raise InputError(f"--output {output} is no .json file.", "Name it tree.json, for example.")
    with claimed(output, "--output") as file:
        run(settings, Wanted(budget, max_depth, fastest), n_tests, file, as_json, quiet)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tree is planned.

    Attributes:
        budget: guesses in it, at most.
        max_depth: its levels, at most.
        fastest: most tokens are counted for each second, and not for each pass.
    """

    budget: int
    max_depth: int
    fastest: bool


def run(
    settings: Settings, wanted: Wanted, n_tests: int, output: Output | None, as_json: bool, quiet: bool
) -> None:
    """Measure, plan, show, write."""
    from specdec_cli.benchmarking.acceptance import measure_acceptance
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.reporting.console import print_json, report_line, report_warning, status
    from specdec_cli.reporting.trees import show_plan
    from specdec_cli.resources import shipped_prompts
    from specdec_cli.runtime.session import Session

    with status("Loading", quiet) as activity:
        session = Session.load(settings, activity.update)
        acceptance = measure_acceptance(session, settings, shipped_prompts()[:n_tests], activity.update)
        found, costs = _planned(session, acceptance, wanted, activity.update)
    interrupts.check()
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)
    record = {
        "parents": list(found.tree.parents),
        "tokens_per_pass": found.tokens_per_pass,
        "seconds_per_pass": found.seconds,
        "acceptance": acceptance,
        "costs": None if costs is None else asdict(costs),
        "settings": asdict(settings),
        "models": session.describe(),
        "machine": fingerprint(),
    }
    if output is not None:
        output.replace(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(record)
    else:
        show_plan(found, acceptance, costs)
    if output is not None and not quiet:
        report_line(f"Written to {output.given}")


def _planned(
    session: Session, acceptance: list[float], wanted: Wanted, report: Callable[[str], None]
) -> tuple[Plan, Costs | None]:
    """The best tree, and what passes cost where that decides."""
    from specdec_cli.benchmarking.acceptance import measure_costs
    from specdec_cli.drafting.planning import best_plan, best_tree

    budget = wanted.budget
    if not wanted.fastest:
        return best_tree(acceptance, budget, wanted.max_depth), None
    sizes = sorted({2**power for power in range(13) if 2**power <= budget} | {budget + 1})
    costs = measure_costs(session, session.settings, sizes, report)
    found = best_plan(acceptance, budget, wanted.max_depth, costs.pass_seconds, costs.draft_seconds)
    return found, costs
