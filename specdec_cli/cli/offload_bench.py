"""`specdec offload-bench`: plain and speculative decoding of a target that does not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.benchmarking.sweep import Configuration, configurations, values
from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import log_file, names_of, read_items
from specdec_cli.cli.results import Format, require_kept
from specdec_cli.cli.setting_options import Given, because, swept_and_shared, takes_settings
from specdec_cli.cli.usual import method_of
from specdec_cli.errors import InputError
from specdec_cli.registry.drafts import QUANTIZED
from specdec_cli.settings import load_settings, require_tokens
from specdec_cli.settings.draft_spec import parse_draft

if TYPE_CHECKING:
    from specdec_cli.benchmarking.records import Record
    from specdec_cli.models.offload.memory_plan import Plan
    from specdec_cli.models.offload.stream import LayerStream
    from specdec_cli.runtime.session import Session

MAX_TOKENS = 48
USUAL_METHODS = "sps,specexec"
DEFAULTS = {"draft": "self:int4", "max_budget": "32", "max_n_beams": "4", "max_beam_len": "12"}
SWEEP = (
    "draft", "temperature", "top_p", "verify", "gamma", "tree", "max_budget", "max_n_beams", "max_beam_len",
    "max_branch_width", "min_log_prob", "decay",
)  # fmt: skip
LONG_CHAIN = {"gamma": "24"}  # of the target's own rounded copy, which is seldom wrong


MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", help=f"Methods, with commas. \\[default: --method, or {USUAL_METHODS}]"),
]


@takes_settings(
    "target",
    *groups.COMPUTING,
    *groups.ORIGIN,
    *groups.DRAFT,
    *groups.OFFLOADING,
    *groups.SAMPLING,
    *groups.METHOD,
    *groups.SHAPE,
    sweep=SWEEP,
    usual={"offload": "disk", "max_tokens": MAX_TOKENS},
    leaves_out={
        "quantize": "an offloaded target keeps its own weights, and refuses it",
        **because("the models of an ensemble are not offloaded", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
    },
)
def offload_bench(
    *,
    methods: MethodsOption = None,
    dataset: opt.DatasetOption = "prompts",
    n_tests: opt.PromptCountOption = 6,
    start: opt.StartOption = 0,
    exp_name: opt.LogNameOption = None,
    save_dir: opt.LogFolderOption = Path("logs"),
    format: Annotated[Format, typer.Option("--format", help="How to print: table or json.")] = Format.TABLE,
    preset: opt.PresetOption = None,
    given: Given,
    quiet: opt.QuietOption = False,
) -> None:
    """Measure plain and speculative decoding on one offloaded target, interleaved: SpecExec's table, and how
    near streaming comes to the link's limit. Without --offload, layers come from the disk; without
    --resident-layers and --memory-limit, a quarter of them stays in memory.
    """
    if format not in (Format.TABLE, Format.JSON):
        raise InputError(f"This command has no {format.value} output.", "Use --format table or json.")
    swept, shared = swept_and_shared(given, SWEEP)
    method = shared.pop("method", None)
    swept, shared = _with_defaults(preset, swept, shared)
    chosen = names_of(methods or method or method_of(preset, USUAL_METHODS))
    wanted = configurations(preset, shared, chosen, swept)
    run(wanted, dataset, start, n_tests, log_file(save_dir, exp_name), format, quiet)


def _with_defaults(
    preset: str | None, swept: dict[str, str], flags: dict[str, object]
) -> tuple[dict[str, str], dict[str, object]]:
    """What this command does where neither a flag nor a variable nor the preset says otherwise."""
    asked = {name: value for name, value in flags.items() if name in ("offload", "max_tokens")}
    found = require_tokens(load_settings(preset, flags=asked))
    if found.settings.offload == "none":
        if found.origins["offload"] != "default":
            raise InputError("Without offloading, nothing is streamed.", "Use --offload disk or cpu.")
        flags = flags | {"offload": "disk"}
    if found.origins["max_tokens"] == "default":
        flags = flags | {"max_tokens": MAX_TOKENS}
    usual = DEFAULTS | ({"draft": "ngram"} if found.settings.offload == "cpu" else {})
    own = found.origins["draft"] == "default"
    draft = swept.get("draft", usual["draft"] if own else found.settings.draft)
    first = parse_draft(values(draft)[0]) if draft else None
    if first is not None and first.kind == QUANTIZED and not first.ngram_first:
        usual |= LONG_CHAIN
    missing = {name: value for name, value in usual.items() if found.origins[name] == "default"}
    return missing | swept, flags


def run(
    wanted: list[Configuration],
    dataset: str,
    start: int,
    n_tests: int,
    log_path: Path | None,
    format: Format,
    quiet: bool,
) -> None:
    """Load, measure, show."""
    from specdec_cli.benchmarking.records import Log
    from specdec_cli.benchmarking.run import Bench, measure
    from specdec_cli.reporting.bench import BarProgress

    items = read_items(dataset, n_tests, start, quiet)
    with Log(log_path) as log:
        wanted, streamed = _load(wanted, quiet)
        interrupts.check()
        with BarProgress(quiet) as progress:
            everything = measure(Bench(wanted, items, measures_link=True), streamed.session, log, progress)
        ids = {item.id for item in items}
        records = [each for each in log.records if each.item in ids]
    _show(everything, records, streamed, f"{len(items)} prompts of {dataset}", format, quiet)


@dataclass(frozen=True, slots=True)
class _Streamed:
    """A session whose target streams: how, and by which plan."""

    session: Session
    stream: LayerStream
    plan: Plan


def _load(wanted: list[Configuration], quiet: bool) -> tuple[list[Configuration], _Streamed]:
    """What will be measured, and on what."""
    from specdec_cli.benchmarking.streaming import load_for
    from specdec_cli.reporting.console import report_line, status
    from specdec_cli.reporting.streaming import plan_lines

    with status("Loading", quiet) as activity:
        wanted, session = load_for(wanted, activity.update)
        stream, plan = session.target.stream, session.target.plan
        if stream is None or plan is None or not stream.pass_bytes:
            hint = "Give a lower --memory-limit, or --resident-layers."
            raise InputError("All layers of the target stay in memory: nothing is streamed.", hint)
        if not quiet:
            for line in plan_lines(plan):
                report_line(line)
    return wanted, _Streamed(session, stream, plan)


def _show(
    everything: list[Configuration],
    records: list[Record],
    streamed: _Streamed,
    prompts: str,
    format: Format,
    quiet: bool,
) -> None:
    """The table of the bench, and the table of the streaming."""
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.benchmarking.streaming import has_link, most_memory, stream_rows
    from specdec_cli.benchmarking.summary import broken_promises, drift, summarise
    from specdec_cli.reporting import bench as show
    from specdec_cli.reporting import streaming as show_streaming
    from specdec_cli.reporting.console import out, print_json, report_warning
    from specdec_cli.reporting.model_names import short_configurations, short_name

    session, stream, plan = streamed.session, streamed.stream, streamed.plan
    settings = {each.name: each.settings for each in everything}
    link_gbps = everything[0].settings.link_gbps
    rows = summarise(records, {each.name: each.baseline for each in everything})
    moved = drift(records, everything[0].baseline)
    streaming = stream_rows(records, list(settings), stream.pass_bytes)
    unmeasured = sum(each.streamed_bytes > 0 and not has_link(each) for each in records)
    facts = (streaming, stream.source.how, link_gbps)
    peak = most_memory(records, session.target.device)
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)
        if unmeasured:
            report_warning(f"{unmeasured} runs of the log are older and missing under Streaming: no link.")
    if format is Format.JSON:
        record = show.record(rows, settings, fingerprint() | {"dtype": session.number_format}, moved)
        print_json(record | show_streaming.stream_record(*facts, plan, peak))
        require_kept(broken_promises(rows))
        return
    short = short_configurations(settings)
    rows = [replace(row, configuration=short[row.configuration]) for row in rows]
    streaming = [replace(row, configuration=short[row.configuration]) for row in streaming]
    settings = {short[name]: each for name, each in settings.items()}
    kind = "simulated link" if link_gbps is not None else stream.source.how
    kept = f"{plan.resident} of {plan.layers} layers in memory, {kind}"
    title = f"{short_name(session.target.name)}, {session.number_format}, {kept}; {prompts}"
    for table in show.bench_tables(rows, settings, title):
        out().print(table)
    out().print(show_streaming.stream_table(streaming, *facts[1:]))
    out().print(show_streaming.memory_line(peak, plan))
    require_kept(broken_promises(rows))
