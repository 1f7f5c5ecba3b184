"""`specdec generate`: one prompt, one text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
    from specdec_cli.engine.completion import Completion
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
    wanted = sys.stdout.isatty() if stream is None else stream
    run(text, resolved, Showing(wanted and not as_json, show_accepted, as_json, quiet), trace)


@dataclass(frozen=True, slots=True)
class Showing:
    """How a text is shown.

    Attributes:
        stream: print it as it comes.
        show_accepted: mark the tokens that were drafted and accepted.
        as_json: print everything as JSON instead.
        quiet: print the result and errors only.
    """

    stream: bool
    show_accepted: bool
    as_json: bool
    quiet: bool


def run(text: str, resolved: Resolved, showing: Showing, trace: Path | None = None) -> None:
    """Load, decode, show. A signal keeps what was generated, and ends with the exit code that is its own."""
    from specdec_cli.engine.completion import INTERRUPTED as BROKEN_OFF
    from specdec_cli.reporting.console import status
    from specdec_cli.runtime.session import Session

    with _tracing(trace, resolved.settings) as writing:
        with status("Loading", showing.quiet) as activity:
            session = Session.load(resolved.settings, activity.update)
        interrupts.check()
        if not showing.quiet:
            _show_notes(session, showing.show_accepted)
        prompt = session.encode(text)
        steps = session.steps(prompt) if writing is None else _traced(session, prompt, writing)
        completion = session.completion(prompt)
        full = _decode(steps, completion, showing)
        _show(text, prompt, session, completion, showing)
        if full is not None:
            raise full
        if completion.finish_reason == BROKEN_OFF:
            raise typer.Exit(interrupts.exit_code())


def _decode(steps: Iterator[Step], completion: Completion, showing: Showing) -> ResourceError | None:
    """Gather the text, and print it as it comes if it streams; what kept its trace from being written."""
    from specdec_cli.reporting.generation import show_pieces

    try:
        for step in steps:
            with interrupts.held():
                pieces = completion.add(step)
                if showing.stream:
                    show_pieces(pieces, showing.show_accepted)
            interrupts.check()
    except KeyboardInterrupt:
        pass
    except ResourceError as error:  # no room for the trace is no reason to lose the text
        return error
    return None


def _show(text: str, prompt: list[int], session: Session, completion: Completion, showing: Showing) -> None:
    """What was not printed as it came: the rest of the text or all of it, and figures."""
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.reporting import generation as show
    from specdec_cli.reporting.console import print_json, report_line
    from specdec_cli.reporting.model_names import short_names
    from specdec_cli.reporting.streaming import link_note

    settings, rest = session.settings, completion.finish()
    if showing.as_json:
        facts = session.describe(), fingerprint(), session.identical()
        print_json(show.completion_record(text, prompt, completion, settings, *facts))
    else:
        show.show_pieces(rest if showing.stream else completion.pieces, showing.show_accepted)
        show.end_line()
    if not showing.quiet:
        short = short_names(session.members)
        members = [short[name] for name in session.members]
        show.report_stats(completion.stats, members, link_note(settings.link_gbps))
        for choice in session.pool.choices:
            report_line(choice.describe())


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
