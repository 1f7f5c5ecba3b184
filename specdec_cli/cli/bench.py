"""`specdec bench` and `specdec compare`: how fast is it, and is that so?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.benchmarking.sweep import Configuration, configurations
from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli.dry_run import DryRunOption, plan_bench
from specdec_cli.cli.results import (
    DetailOption,
    Format,
    FormatOption,
    PlotOption,
    Showing,
    prepared,
    show_results,
)
from specdec_cli.errors import CHECK_FAILED, InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import load_settings, require_tokens
from specdec_cli.storage.names import require_file_name

if TYPE_CHECKING:
    from specdec_cli.benchmarking.records import Log
    from specdec_cli.benchmarking.run import Bench
    from specdec_cli.tracing.file import TraceFile

SWEPT = (
    "draft", "temperature", "top_p", "verify", "gamma", "tree", "max_budget", "max_n_beams", "max_beam_len",
    "max_branch_width", "min_log_prob", "decay", "alpha", "exec",
)  # fmt: skip
MAX_TOKENS = 64


def bench(
    methods: Annotated[
        str | None, typer.Option("--methods", help="Methods, with commas. \\[default: --method]")
    ] = None,
    zero: Annotated[bool, typer.Option("--zero", help="Plain decoding only.")] = False,
    dataset: Annotated[
        str, typer.Option(help="prompts (the shipped ones), a file, or a name such as mt-bench.")
    ] = "prompts",
    n_tests: Annotated[int, typer.Option(min=1, max=opt.MOST, help="Prompts.")] = 10,
    start: Annotated[
        int, typer.Option(min=0, max=opt.MOST, help="Prompts to leave out at the beginning.")
    ] = 0,
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="Other engines beside: transformers, llama-cpp.")
    ] = None,
    exp_name: Annotated[
        str | None, typer.Option("--exp-name", help="Write logs/NAME.jsonl as it runs, and go on from it.")
    ] = None,
    save_dir: Annotated[Path, typer.Option("--save-dir", help="Folder of the logs.")] = Path("logs"),
    detail: DetailOption = False,
    format: FormatOption = Format.TABLE,
    plot: PlotOption = None,
    trace: opt.TraceOption = None,
    dry_run: DryRunOption = False,
    preset: opt.PresetOption = None,
    target: opt.TargetOption = None,
    draft: Annotated[str | None, opt.sweep("draft", "--draft", "-d")] = None,
    device: opt.DeviceOption = None,
    draft_device: opt.DraftDeviceOption = None,
    dtype: opt.DtypeOption = None,
    quantize: opt.QuantizeOption = None,
    draft_quantize: opt.DraftQuantizeOption = None,
    offload: opt.OffloadOption = None,
    resident_layers: opt.ResidentLayersOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    link_gbps: opt.LinkGbpsOption = None,
    revision: opt.RevisionOption = None,
    trust_remote_code: opt.TrustRemoteCodeOption = None,
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    temperature: Annotated[str | None, opt.sweep("temperature", "--temperature", "-t")] = None,
    top_p: Annotated[str | None, opt.sweep("top_p")] = None,
    seed: opt.SeedOption = None,
    max_tokens: opt.MaxTokensOption = None,
    ignore_eos: opt.IgnoreEosOption = None,
    chat: opt.ChatOption = None,
    method: opt.MethodOption = None,
    verify: Annotated[str | None, opt.sweep("verify")] = None,
    gamma: Annotated[str | None, opt.sweep("gamma", "--gamma", "-k")] = None,
    tree: Annotated[str | None, opt.sweep("tree")] = None,
    hub_above: opt.HubAboveOption = None,
    max_budget: Annotated[str | None, opt.sweep("max_budget")] = None,
    max_n_beams: Annotated[str | None, opt.sweep("max_n_beams")] = None,
    max_beam_len: Annotated[str | None, opt.sweep("max_beam_len")] = None,
    max_branch_width: Annotated[str | None, opt.sweep("max_branch_width")] = None,
    min_log_prob: Annotated[str | None, opt.sweep("min_log_prob")] = None,
    decay: Annotated[str | None, opt.sweep("decay")] = None,
    coupled: opt.CoupledOption = None,
    ngram_size: opt.NgramSizeOption = None,
    models: opt.ModelsOption = None,
    amateur: opt.AmateurOption = None,
    ensemble_fn: opt.EnsembleFnOption = None,
    ensemble_target: opt.EnsembleTargetOption = None,
    weights: opt.WeightsOption = None,
    alpha: Annotated[str | None, opt.sweep("alpha", "--alpha", "--mu")] = None,
    plausibility: opt.PlausibilityOption = None,
    exec: Annotated[str | None, opt.sweep("exec")] = None,
    quiet: opt.QuietOption = False,
) -> None:
    """Measure methods beside plain decoding: interleaved, paired, with intervals and SpecExec's columns.

    Options that sweep take lists and ranges, "16, 32, 64" or "1-8", and run every combination.
    """
    swept, flags = swept_and_flags(opt.given_settings(locals()))
    require_tokens(load_settings(preset, flags={}))
    chosen = [] if zero else names_of(methods or method or method_of(preset))
    wanted = configurations(preset, flags, chosen, swept)
    if load_settings(preset, flags={"max_tokens": max_tokens}).origins["max_tokens"] == "default":
        wanted = [replace(each, settings=replace(each.settings, max_tokens=MAX_TOKENS)) for each in wanted]
    log = log_file(save_dir, exp_name)
    if dry_run:
        runs = len(wanted) * n_tests
        facts = [f"Runs: {len(wanted)} configurations on {n_tests} prompts of {dataset}, {runs} in all."]
        plan_bench([(each.name, each.settings) for each in wanted], facts, format is Format.JSON)
        return
    peers = _peers(peer, wanted[0].settings.target)
    run(wanted, dataset, start, n_tests, peers, log, trace, Showing(format, plot, detail, quiet))


def swept_and_flags(given: Mapping[str, object]) -> tuple[dict[str, str], dict[str, object]]:
    """The settings of a command line that sweep and were given, as written, and all others but the method."""
    swept = {name: str(value) for name, value in given.items() if name in SWEPT and value is not None}
    return swept, {name: value for name, value in given.items() if name not in SWEPT and name != "method"}


def method_of(preset: str | None, usual: str = "specexec") -> str:
    """The method that a preset or the environment names, or the usual ones."""
    resolved = load_settings(preset, flags={})
    return usual if resolved.origins["method"] == "default" else resolved.settings.method


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
    from specdec_cli.evaluation.datasets import introduction, read_dataset
    from specdec_cli.reporting.console import report_line
    from specdec_cli.settings.draft_spec import resolve_draft
    from specdec_cli.tracing.file import TraceFile
    from specdec_cli.tracing.record import require_traceable

    with ExitStack() as stack:
        stack.enter_context(prepared(showing))
        items = read_dataset(dataset, n_tests, start)
        if not showing.quiet:
            report_line(introduction(items))
        log = stack.enter_context(Log(log_path))
        trace = stack.enter_context(nullcontext() if trace_path is None else TraceFile(trace_path))
        for each in wanted:
            resolve_draft(each.settings)  # one that a method cannot take is known before anything is loaded
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
    from specdec_cli.runtime.session import Session

    wanted = bench.configurations
    drafting = next((each for each in reversed(wanted) if each.name != each.baseline), wanted[0])
    drafting = next((each for each in wanted if METHODS[each.settings.method].is_ensemble), drafting)
    with status("Loading", showing.quiet) as activity:
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


def log_file(folder: Path, name: str | None) -> Path | None:
    """The log of that name, which may not lie anywhere else.

    Raises:
        InputError: the name is a path, empty, or too long.
    """
    return None if name is None else folder / f"{require_file_name(name, '--exp-name')}.jsonl"


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
    from specdec_cli.reporting.log_comparison import compare_record, compare_table
    from specdec_cli.reporting.model_names import short_configurations

    logs = read_log(before), read_log(after)
    found = compare_logs(*logs)
    changed = different_settings(before, after)
    if changed:
        report_warning(f"The logs were made with other settings: {', '.join(changed)}.")
    formats = [str(machine_in(log).get("dtype", "")) for log in (before, after)]
    if all(formats) and formats[0] != formats[1]:
        report_warning(f"The logs were measured in {' and '.join(formats)}: greedy texts may part at ties.")
    if not found:
        raise InputError("The logs have no configuration and prompt in common.", "Measure the same twice.")
    if unpaired := not_in_both(*logs):
        names = ", ".join(unpaired)
        report_warning(f"In one log alone, or with other prompts there, and compared on the rest: {names}.")
    slower = [
        each.configuration for each in found if fail_below is not None and each.surely_below(fail_below)
    ]
    if as_json:
        print_json(compare_record(found, fail_below, bool(slower)))
    else:
        short = short_configurations(each.configuration for each in found)
        shown = [replace(each, configuration=short[each.configuration]) for each in found]
        out().print(compare_table(shown, fail_below))
    if slower:
        report_warning(f"Surely below {fail_below:g}: {', '.join(slower)}.")
        raise typer.Exit(CHECK_FAILED)


def names_of(text: str) -> list[str]:
    """The names in a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _peers(given: list[str] | None, target: str) -> list[str]:
    from specdec_cli.benchmarking.llama_peer import require_llama_cpp
    from specdec_cli.benchmarking.run import PEERS

    for name in given or ():
        if name not in PEERS:
            raise InputError(f"There is no peer {name!r}.", f"The peers are {', '.join(PEERS)}.")
    if "llama-cpp" in (given or ()):
        require_llama_cpp(target)
    return list(dict.fromkeys(given or ()))
