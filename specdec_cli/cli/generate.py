"""`specdec generate`: one prompt, one text."""

from __future__ import annotations

import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli.dry_run import DryRunOption, plan_generate
from specdec_cli.errors import InputError, ResourceError
from specdec_cli.settings import Resolved, Settings, load_settings, require_tokens
from specdec_cli.storage.reading import size_in_words

if TYPE_CHECKING:
    from specdec_cli.engine.roles import Step
    from specdec_cli.runtime.session import Session
    from specdec_cli.tracing.file import TraceFile

STDIN = "-"
BYTE_ORDER_MARK = "\ufeff"
LARGEST_PROMPT = 64 << 20  # bytes
CONVERT = "Convert it, with iconv for example."


def generate(
    prompt: opt.PromptOption = None,
    preset: opt.PresetOption = None,
    target: opt.TargetOption = None,
    draft: opt.DraftOption = None,
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
    temperature: opt.TemperatureOption = None,
    top_p: opt.TopPOption = None,
    top_k: opt.TopKOption = None,
    min_p: opt.MinPOption = None,
    seed: opt.SeedOption = None,
    max_tokens: opt.MaxTokensOption = None,
    stop: opt.StopOption = None,
    ignore_eos: opt.IgnoreEosOption = None,
    chat: opt.ChatOption = None,
    system: opt.SystemOption = None,
    method: opt.MethodOption = None,
    verify: opt.VerifyOption = None,
    gamma: opt.GammaOption = None,
    tree: opt.TreeOption = None,
    hub_above: opt.HubAboveOption = None,
    max_budget: opt.MaxBudgetOption = None,
    max_n_beams: opt.MaxNBeamsOption = None,
    max_beam_len: opt.MaxBeamLenOption = None,
    max_branch_width: opt.MaxBranchWidthOption = None,
    min_log_prob: opt.MinLogProbOption = None,
    decay: opt.DecayOption = None,
    coupled: opt.CoupledOption = None,
    ngram_size: opt.NgramSizeOption = None,
    models: opt.ModelsOption = None,
    amateur: opt.AmateurOption = None,
    ensemble_fn: opt.EnsembleFnOption = None,
    ensemble_target: opt.EnsembleTargetOption = None,
    weights: opt.WeightsOption = None,
    alpha: opt.AlphaOption = None,
    plausibility: opt.PlausibilityOption = None,
    exec: opt.ExecOption = None,
    stream: opt.StreamOption = None,
    show_accepted: opt.ShowAcceptedOption = False,
    trace: opt.TraceOption = None,
    dry_run: DryRunOption = False,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Answer a prompt, or continue it with --raw. The text goes to stdout, figures to stderr."""
    resolved = require_tokens(load_settings(preset, flags=opt.given_settings(locals())))
    if dry_run:
        plan_generate(resolved, as_json)
        return
    text = read_prompt(prompt)
    if stream is None:
        stream = sys.stdout.isatty()
    run(
        text,
        resolved,
        stream=stream and not as_json,
        show_accepted=show_accepted,
        as_json=as_json,
        quiet=quiet,
        trace=trace,
    )


def read_prompt(prompt: str | None) -> str:
    """The prompt as given, or from standard input.

    Raises:
        InputError: there is none.
    """
    hint = 'Give it as -p "...", or as -p - to read standard input.'
    if prompt is None:
        raise InputError("There is no prompt.", hint)
    text = _standard_input() if prompt == STDIN else prompt.removeprefix(BYTE_ORDER_MARK)
    if not text.strip():
        raise InputError("The prompt is empty.", hint)
    require_text(text)
    return text


def _standard_input() -> str:
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Pipe the prompt in, or give it as -p.")
    data: bytes = sys.stdin.buffer.read(LARGEST_PROMPT + 1)
    if len(data) > LARGEST_PROMPT:
        problem = f"The prompt has more than {size_in_words(LARGEST_PROMPT)}, which no model reads."
        raise InputError(problem, "Shorten it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16 text" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "not UTF-8 text"
        raise InputError(f"The prompt is {found}.", CONVERT) from error
    if "\0" in text:
        raise InputError("The prompt has NUL characters, as UTF-16 text has.", CONVERT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_text(prompt: str) -> None:
    """Check that Python could read every byte of the prompt.

    Raises:
        InputError: it could not, and some are kept as surrogates.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputError("The prompt is not UTF-8 text.", CONVERT) from error


def run(
    text: str,
    resolved: Resolved,
    *,
    stream: bool,
    show_accepted: bool,
    as_json: bool,
    quiet: bool,
    trace: Path | None = None,
) -> None:
    """Load, decode, show. A signal keeps what was generated, and ends with the exit code that is its own."""
    from specdec_cli.reporting.console import status
    from specdec_cli.runtime.session import Session

    with _tracing(trace, resolved.settings) as writing:
        with status("Loading", quiet) as activity:
            session = Session.load(resolved.settings, activity.update)
        interrupts.check()
        _show(
            text, session, writing, stream=stream, show_accepted=show_accepted, as_json=as_json, quiet=quiet
        )


def _show(
    text: str,
    session: Session,
    writing: TraceFile | None,
    *,
    stream: bool,
    show_accepted: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.engine.completion import INTERRUPTED as BROKEN_OFF
    from specdec_cli.reporting import generation as show
    from specdec_cli.reporting.console import print_json, report_line
    from specdec_cli.reporting.model_names import short_names
    from specdec_cli.reporting.streaming import link_note

    settings = session.settings
    short = short_names(session.members)
    members = [short[name] for name in session.members]
    if not quiet:
        _show_notes(session, show_accepted)
    prompt = session.encode(text)
    completion = session.completion(prompt)
    full: ResourceError | None = None
    try:
        for step in session.steps(prompt) if writing is None else _traced(session, prompt, writing):
            with interrupts.held():
                pieces = completion.add(step)
                if stream:
                    show.show_pieces(pieces, show_accepted)
            interrupts.check()
    except KeyboardInterrupt:
        pass
    except ResourceError as error:  # no room for the trace is no reason to lose the text
        full = error
    rest = completion.finish()
    if as_json:
        print_json(
            show.completion_record(text, prompt, completion, settings, session.describe(), fingerprint())
        )
    else:
        show.show_pieces(rest if stream else completion.pieces, show_accepted)
        show.end_line()
    if not quiet:
        show.report_stats(completion.stats, members, link_note(settings.link_gbps))
        for choice in session.pool.choices:
            report_line(choice.describe())
    if full is not None:
        raise full
    if completion.finish_reason == BROKEN_OFF:
        raise typer.Exit(interrupts.exit_code())


def _show_notes(session: Session, show_accepted: bool) -> None:
    """What a user should know before the text comes."""
    from specdec_cli.reporting import generation as show
    from specdec_cli.reporting.console import report_line, report_warning
    from specdec_cli.reporting.model_names import short_names
    from specdec_cli.reporting.streaming import plan_lines

    if show_accepted and session.members:
        short = short_names(session.members)
        show.report_members([short[name] for name in session.members])
    for warning in session.warnings:
        report_warning(warning)
    if show_accepted and not show.shows_colour():
        report_warning("--show-accepted marks tokens by colour, and there is none here.")
    for line in plan_lines(session.target.plan) if session.target.plan is not None else ():
        report_line(line)


def _tracing(path: Path | None, settings: Settings) -> AbstractContextManager[TraceFile | None]:
    from specdec_cli.tracing.file import TraceFile
    from specdec_cli.tracing.record import require_traceable

    if path is None:
        return nullcontext()
    require_traceable(settings)
    return TraceFile(path)


def _traced(session: Session, prompt: list[int], file: TraceFile) -> Iterator[Step]:
    """The steps of a run, each written down before it is shown."""
    from dataclasses import replace

    from specdec_cli.tracing.file import TracedRun
    from specdec_cli.tracing.record import recorded

    settings = replace(session.settings, dtype=session.number_format)
    run = TracedRun(settings.method, "prompt", "", settings, tuple(prompt))
    for view in recorded(session, run, file):
        yield view.step
