"""`specdec generate`: one prompt, one text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.dry_run import DryRunOption, plan_generate
from specdec_cli.cli.inputs import read_prompt
from specdec_cli.cli.setting_options import Given, takes_settings
from specdec_cli.errors import ResourceError
from specdec_cli.settings import Resolved, Settings, load_settings, require_tokens

if TYPE_CHECKING:
    from specdec_cli.engine.roles import Step
    from specdec_cli.runtime.session import Session
    from specdec_cli.tracing.file import TraceFile


@takes_settings(
    *groups.TARGET,
    *groups.DRAFT,
    *groups.OFFLOADING,
    *groups.SAMPLING,
    *groups.METHOD,
    *groups.SHAPE,
    *groups.ENSEMBLE,
    leaves_out={**groups.GAMMAS_BY_GAMMA, **groups.NO_SEGMENTS},
)
def generate(
    *,
    prompt: opt.PromptOption = None,
    preset: opt.PresetOption = None,
    given: Given,
    stream: opt.StreamOption = None,
    show_accepted: opt.ShowAcceptedOption = False,
    trace: opt.TraceOption = None,
    dry_run: DryRunOption = False,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Answer a prompt, or continue it with --raw. The text goes to stdout, figures to stderr."""
    resolved = require_tokens(load_settings(preset, flags=given))
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
