"""`specdec bench` and `specdec compare`: how fast is it, and is that so?"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.benchmarking.sweep import Configuration, configurations
from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.dry_run import DryRunOption, plan_bench
from specdec_cli.cli.inputs import log_file, names_of, read_items
from specdec_cli.cli.results import (
    DetailOption,
    Format,
    FormatOption,
    PlotOption,
    Showing,
    prepared,
    show_results,
)
from specdec_cli.cli.setting_options import Given, swept_and_shared, takes_settings
from specdec_cli.cli.usual import method_of, or_usual
from specdec_cli.errors import CHECK_FAILED, InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import load_settings, require_tokens

if TYPE_CHECKING:
    from specdec_cli.benchmarking.records import Log
    from specdec_cli.benchmarking.run import Bench
    from specdec_cli.tracing.file import TraceFile

MethodsOption = Annotated[
    str | None, typer.Option("--methods", help="Methods, with commas. \\[default: --method]")
]
PeerOption = Annotated[
    list[str] | None, typer.Option("--peer", help="Other engines beside: transformers, llama-cpp.")
]
SWEEP = (
    "draft", "temperature", "top_p", "verify", "gamma", "tree", "max_budget", "max_n_beams", "max_beam_len",
    "max_branch_width", "min_log_prob", "decay", "alpha", "exec",
)  # fmt: skip
USUAL = {"max_tokens": 64}


@takes_settings(
    *groups.TARGET,
    *groups.DRAFT,
    *groups.OFFLOADING,
    *groups.SAMPLING,
    *groups.METHOD,
    *groups.SHAPE,
    *groups.ENSEMBLE,
    sweep=SWEEP,
    usual=USUAL,
    leaves_out={
        "gammas": "--gamma 1:5 gives several numbers, which are these; a comma there is a sweep",
        **groups.NO_SEGMENTS,
    },
)
def bench(
    *,
    methods: MethodsOption = None,
    zero: Annotated[bool, typer.Option("--zero", help="Plain decoding only.")] = False,
    dataset: opt.DatasetOption = "prompts",
    n_tests: opt.PromptCountOption = 10,
    start: opt.StartOption = 0,
    peer: PeerOption = None,
    exp_name: opt.LogNameOption = None,
    save_dir: opt.LogFolderOption = Path("logs"),
    detail: DetailOption = False,
    format: FormatOption = Format.TABLE,
    plot: PlotOption = None,
    dry_run: DryRunOption = False,
    preset: opt.PresetOption = None,
    given: Given,
    trace: opt.TraceOption = None,
    quiet: opt.QuietOption = False,
) -> None:
    """Measure methods beside plain decoding: interleaved, paired, with intervals and SpecExec's columns.

    Options that sweep take lists and ranges, "16, 32, 64" or "1-8", and run every combination.
    """
    swept, shared = swept_and_shared(given, SWEEP)
    method = shared.pop("method", None)
    said = require_tokens(load_settings(preset, flags={}))
    chosen = [] if zero else names_of(methods or method or method_of(preset))
    wanted = configurations(preset, shared, chosen, swept)
    if "max_tokens" not in given:
        length = or_usual(said, USUAL).max_tokens
        wanted = [replace(each, settings=replace(each.settings, max_tokens=length)) for each in wanted]
    log = log_file(save_dir, exp_name)
    if dry_run:
        runs = len(wanted) * n_tests
        facts = [f"Runs: {len(wanted)} configurations on {n_tests} prompts of {dataset}, {runs} in all."]
        plan_bench([(each.name, each.settings) for each in wanted], facts, format is Format.JSON)
        return
    peers = _peers(peer, wanted[0].settings.target)
    run(wanted, dataset, start, n_tests, peers, log, trace, Showing(format, plot, detail, quiet))


def run(
    wanted: list[Configuration],
    dataset: str,
    start: int,
    n_tests: int,
    peers: list[str],
    log_path: Path | None,
    trace_path: Path | None,
    showing: Showing,
) -> None:
    """Load, measure, show."""
    from specdec_cli.benchmarking.records import Log
    from specdec_cli.benchmarking.run import Bench
    from specdec_cli.tracing.file import TraceFile
    from specdec_cli.tracing.record import require_traceable

    with ExitStack() as stack:
        stack.enter_context(prepared(showing))
        items = read_items(dataset, n_tests, start, showing.quiet)
        log = stack.enter_context(Log(log_path))
        trace = stack.enter_context(nullcontext() if trace_path is None else TraceFile(trace_path))
        for each in wanted if trace else ():
            require_traceable(each.settings)
        _measure(Bench(wanted, items, peers), log, trace, f"{len(items)} prompts of {dataset}", showing)


def _measure(bench: Bench, log: Log, trace: TraceFile | None, prompts: str, showing: Showing) -> None:
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.benchmarking.run import measure
    from specdec_cli.reporting.bench import BarProgress
    from specdec_cli.reporting.console import report_line, report_warning, status
    from specdec_cli.reporting.model_names import short_name
    from specdec_cli.reporting.streaming import link_note
    from specdec_cli.runtime.preflight import preflight_drafts
    from specdec_cli.runtime.session import Session

    wanted = bench.configurations
    drafting = next((each for each in reversed(wanted) if each.name != each.baseline), wanted[0])
    drafting = next((each for each in wanted if METHODS[each.settings.method].is_ensemble), drafting)
    with status("Loading", showing.quiet) as activity:
        preflight_drafts((each.settings for each in wanted), activity.update)
        session = Session.load(drafting.settings, activity.update)
    interrupts.check()
    with BarProgress(showing.quiet) as progress:
        everything = measure(bench, session, log, progress, trace)
    if not showing.quiet:
        for warning in session.warnings:
            report_warning(warning)
        for choice in session.pool.choices:
            report_line(choice.describe())
    settings = {each.name: each.settings for each in everything}
    baselines = {each.name: each.baseline for each in everything}
    ids = {item.id for item in bench.items}
    records = [each for each in log.records if each.item in ids]
    length = wanted[0].settings.max_tokens
    title = f"{short_name(session.target.name)}, {session.number_format}, {prompts}, "
    title += f"up to {length} tokens" + link_note(wanted[0].settings.link_gbps)
    machine = fingerprint() | {"dtype": session.number_format}
    show_results(records, settings, baselines, machine, title, showing)


def compare(
    before: Annotated[Path, typer.Argument(help="A log of `specdec bench --exp-name`.")],
    after: Annotated[Path, typer.Argument(help="Another one, of the same prompts.")],
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            min=0.0,
            callback=opt.finite,
            help="End with exit code 5 if a ratio is surely below this.",
        ),
    ] = None,
    as_json: opt.JsonOption = False,
) -> None:
    """Compare two logs: the second one's speed over the first one's, paired by prompt."""
    from specdec_cli.benchmarking.log_comparison import compare_logs, not_in_both
    from specdec_cli.benchmarking.records import different_settings, machine_in, read_log
    from specdec_cli.reporting.console import out, print_json, report_warning
    from specdec_cli.reporting.log_comparison import log_comparison_record, log_comparison_table
    from specdec_cli.reporting.model_names import short_configurations

    logs = read_log(before), read_log(after)
    found = compare_logs(*logs)
    changed = different_settings(before, after)
    if changed:
        report_warning(f"The logs were made with other settings: {', '.join(changed)}.")
    formats = [str(machine_in(log).get("dtype", "")) for log in (before, after)]
    if all(formats) and formats[0] != formats[1]:
        report_warning(f"The logs were measured in {' and '.join(formats)}, in which texts may differ.")
    if not found:
        raise InputError("The logs have no configuration and prompt in common.", "Measure the same twice.")
    if unpaired := not_in_both(*logs):
        names = ", ".join(unpaired)
        report_warning(f"In one log alone, or with other prompts there, and compared on the rest: {names}.")
    slower = [
        each.configuration for each in found if fail_below is not None and each.surely_below(fail_below)
    ]
    if as_json:
        print_json(log_comparison_record(found, fail_below, bool(slower)))
    else:
        short = short_configurations(each.configuration for each in found)
        shown = [replace(each, configuration=short[each.configuration]) for each in found]
        out().print(log_comparison_table(shown, fail_below))
    if slower:
        report_warning(f"Surely below {fail_below:g}: {', '.join(slower)}.")
        raise typer.Exit(CHECK_FAILED)


def _peers(given: list[str] | None, target: str) -> list[str]:
    from specdec_cli.benchmarking.llama_peer import require_llama_cpp
    from specdec_cli.benchmarking.run import PEERS

    for name in given or ():
        if name not in PEERS:
            raise InputError(f"There is no peer {name!r}.", f"The peers are {', '.join(PEERS)}.")
    if "llama-cpp" in (given or ()):
        require_llama_cpp(target)
    return list(dict.fromkeys(given or ()))
