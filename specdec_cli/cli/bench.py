"""`specdec bench` and `specdec compare`: how fast is it, and is that so?"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.benchmarking.sweep import Configuration, configurations
from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.errors import CHECK_FAILED, InputError
from specdec_cli.methods import METHODS
from specdec_cli.settings import RULES, load_settings

SWEPT = (
    "draft", "temperature", "top_p", "verify", "gamma", "tree", "max_budget", "max_n_beams", "max_beam_len",
    "max_branch_width", "min_log_prob", "decay", "alpha", "exec",
)  # fmt: skip
MAX_TOKENS = 64


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def _sweep(setting: str, *names: str) -> object:
    flag = f"--{setting.replace('_', '-')}"
    return typer.Option(*(names or (flag,)), help=f"{RULES[setting].help} Sweeps.", rich_help_panel="Sweep")


def bench(
    methods: Annotated[
        str | None, typer.Option("--methods", help="Methods, with commas. \\[default: --method]")
    ] = None,
    zero: Annotated[bool, typer.Option("--zero", help="Plain decoding only.")] = False,
    dataset: Annotated[
        str, typer.Option(help="prompts (the shipped ones), a file, or a name such as mt-bench.")
    ] = "prompts",
    n_tests: Annotated[int, typer.Option(min=1, help="Prompts.")] = 10,
    start: Annotated[int, typer.Option(min=0, help="Prompts to leave out at the beginning.")] = 0,
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="Other engines in the same run: transformers.")
    ] = None,
    exp_name: Annotated[
        str | None, typer.Option("--exp-name", help="Write logs/NAME.jsonl as it runs, and go on from it.")
    ] = None,
    save_dir: Annotated[Path, typer.Option("--save-dir", help="Folder of the logs.")] = Path("logs"),
    format: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the result: a .png, .svg or .html file.")
    ] = None,
    preset: opt.PresetOption = None,
    target: opt.TargetOption = None,
    draft: Annotated[str | None, _sweep("draft", "--draft", "-d")] = None,
    device: opt.DeviceOption = None,
    draft_device: opt.DraftDeviceOption = None,
    dtype: opt.DtypeOption = None,
    quantize: opt.QuantizeOption = None,
    draft_quantize: opt.DraftQuantizeOption = None,
    revision: opt.RevisionOption = None,
    trust_remote_code: opt.TrustRemoteCodeOption = None,
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    temperature: Annotated[str | None, _sweep("temperature", "--temperature", "-t")] = None,
    top_p: Annotated[str | None, _sweep("top_p")] = None,
    seed: opt.SeedOption = None,
    max_tokens: opt.MaxTokensOption = None,
    ignore_eos: opt.IgnoreEosOption = None,
    chat: opt.ChatOption = None,
    method: opt.MethodOption = None,
    verify: Annotated[str | None, _sweep("verify")] = None,
    gamma: Annotated[str | None, _sweep("gamma", "--gamma", "-k")] = None,
    tree: Annotated[str | None, _sweep("tree")] = None,
    hub_above: opt.HubAboveOption = None,
    max_budget: Annotated[str | None, _sweep("max_budget")] = None,
    max_n_beams: Annotated[str | None, _sweep("max_n_beams")] = None,
    max_beam_len: Annotated[str | None, _sweep("max_beam_len")] = None,
    max_branch_width: Annotated[str | None, _sweep("max_branch_width")] = None,
    min_log_prob: Annotated[str | None, _sweep("min_log_prob")] = None,
    decay: Annotated[str | None, _sweep("decay")] = None,
    coupled: opt.CoupledOption = None,
    ngram_size: opt.NgramSizeOption = None,
    models: opt.ModelsOption = None,
    amateur: opt.AmateurOption = None,
    ensemble_fn: opt.EnsembleFnOption = None,
    ensemble_target: opt.EnsembleTargetOption = None,
    weights: opt.WeightsOption = None,
    alpha: Annotated[str | None, _sweep("alpha", "--alpha", "--mu")] = None,
    plausibility: opt.PlausibilityOption = None,
    exec: Annotated[str | None, _sweep("exec")] = None,
    quiet: opt.QuietOption = False,
) -> None:
    """Measure methods beside plain decoding: interleaved, paired, with intervals and SpecExec's columns.

    Options that sweep take lists and ranges, "16, 32, 64" or "1-8", and run every combination.
    """
    given = opt.given_settings(locals())
    swept = {name: str(value) for name, value in given.items() if name in SWEPT and value is not None}
    flags = {name: value for name, value in given.items() if name not in SWEPT and name != "method"}
    chosen = [] if zero else _names(methods or method or "specexec")
    wanted = configurations(preset, flags, chosen, swept)
    if load_settings(preset, flags={"max_tokens": max_tokens}).origins["max_tokens"] == "default":
        wanted = [replace(each, settings=replace(each.settings, max_tokens=MAX_TOKENS)) for each in wanted]
    log = save_dir / f"{exp_name}.jsonl" if exp_name else None
    run(wanted, dataset, start, n_tests, _peers(peer), log, format, plot, quiet)


def run(
    wanted: list[Configuration],
    dataset: str,
    start: int,
    n_tests: int,
    peers: list[str],
    log_file: Path | None,
    format: Format,
    plot: Path | None,
    quiet: bool,
) -> None:
    """Load, measure, show."""
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.benchmarking.records import Log
    from specdec_cli.benchmarking.run import Bench, measure
    from specdec_cli.benchmarking.summary import DRIFT, drift, summarise
    from specdec_cli.evaluation.datasets import read_dataset
    from specdec_cli.reporting import bench as show
    from specdec_cli.reporting.console import out, print_json, report_line, report_warning, status
    from specdec_cli.reporting.plots import draw, require_plot
    from specdec_cli.session import Session

    if plot is not None:
        require_plot(plot)
    items = read_dataset(dataset, n_tests, start)
    log = Log(log_file)
    drafting = next((each for each in reversed(wanted) if each.name != each.baseline), wanted[0])
    drafting = next((each for each in wanted if METHODS[each.settings.method].is_ensemble), drafting)
    with status("Loading", quiet) as activity:
        session = Session.load(drafting.settings, activity.update)
    interrupts.check()
    with show.BarProgress(quiet) as progress:
        everything = measure(Bench(wanted, items, peers), session, log, progress)
    settings = {each.name: each.settings for each in everything}
    ids = {item.id for item in items}
    records = [each for each in log.records if each.item in ids]
    rows = summarise(records, {each.name: each.baseline for each in everything})
    moved = drift(records, everything[0].baseline)
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)
        if moved is not None and abs(moved) > DRIFT:
            report_warning(f"Plain decoding's speed moved by {moved:+.0%} during the run; ratios are paired.")
    if plot is not None:
        draw(rows, settings, plot)
        for choice in session.company.choices:
            report_line(choice.describe())
    length = wanted[0].settings.max_tokens
    title = f"{session.target.name}, {len(items)} prompts of {dataset}, up to {length} tokens"
    if format is Format.JSON:
        print_json(show.record(rows, settings, fingerprint(), moved))
    elif format is Format.TABLE:
        for table in show.bench_tables(rows, settings, title):
            out().print(table)
    else:
        text = show.markdown if format is Format.MARKDOWN else show.comma_separated
        out().out(text(rows, settings), highlight=False)


def compare(
    before: Annotated[Path, typer.Argument(help="A log of `specdec bench --exp-name`.")],
    after: Annotated[Path, typer.Argument(help="Another one, of the same prompts.")],
    fail_below: Annotated[
        float | None,
        typer.Option("--fail-below", min=0.0, help="End with exit code 5 if a ratio is surely below this."),
    ] = None,
    as_json: opt.JsonOption = False,
) -> None:
    """Compare two logs: the second one's speed over the first one's, paired by prompt."""
    from specdec_cli.benchmarking.compare import compare_logs
    from specdec_cli.benchmarking.records import different_settings, read_log
    from specdec_cli.reporting.compare import compare_record, compare_table
    from specdec_cli.reporting.console import out, print_json, report_warning

    found = compare_logs(read_log(before), read_log(after))
    changed = different_settings(before, after)
    if changed:
        report_warning(f"The logs were made with other settings: {', '.join(changed)}.")
    if not found:
        raise InputError("The logs have no configuration and prompt in common.", "Measure the same twice.")
    failed = fail_below is not None and any(each.surely_below(fail_below) for each in found)
    if as_json:
        print_json(compare_record(found, fail_below, failed))
    else:
        out().print(compare_table(found, fail_below))
    if failed:
        raise typer.Exit(CHECK_FAILED)


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _peers(given: list[str] | None) -> list[str]:
    for name in given or ():
        if name != "transformers":
            raise InputError(f"There is no peer {name!r}.", "The peer is transformers.")
    return given or []
