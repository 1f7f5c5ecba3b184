"""`specdec inspect`: a generation's draft trees, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import read_prompt
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import Resolved, Settings, load_settings, require_tokens

if TYPE_CHECKING:
    from specdec_cli.runtime.session import Session
    from specdec_cli.tracing.inspection import StepPicture

STEPS = 8
CONTEXT = 6  # tokens of text shown before a tree


@takes_settings(
    *groups.TARGET,
    *groups.DRAFT,
    "offload",
    "resident_layers",
    "memory_limit",
    *groups.SAMPLING,
    *groups.METHOD,
    *groups.SHAPE,
    leaves_out={
        "link_gbps": "it slows a run down, and a drawing has no times",
        **because("an ensemble has no draft tree to draw, and is refused", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
    },
)
def inspect(
    *,
    prompt: opt.PromptOption = None,
    steps: Annotated[int, typer.Option("--steps", min=1, max=4096, help="Steps to draw.")] = STEPS,
    preset: opt.PresetOption = None,
    given: Given,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Draw what was guessed, what was accepted and what came instead, one tree a step."""
    resolved = require_tokens(load_settings(preset, flags=given))
    if METHODS[resolved.settings.method].is_ensemble:
        problem = f"inspect draws trees of one target, and {resolved.settings.method} has several."
        raise InputError(problem, "`specdec ensemble --show-owners` shows who proposed which token.")
    run(read_prompt(prompt), resolved, steps, as_json, quiet)


def run(text: str, resolved: Resolved, steps: int, as_json: bool, quiet: bool) -> None:
    """Load, decode, draw each step as it comes."""
    from dataclasses import asdict, replace

    from specdec_cli.reporting.console import print_json, report_line, report_warning, status
    from specdec_cli.reporting.inspection import inspection_record, show_legend, show_step
    from specdec_cli.runtime.session import Session

    settings = resolved.settings
    with status("Loading", quiet) as activity:
        session = Session.load(settings, activity.update)
    interrupts.check()
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)
    pictures = _pictures(session, session.encode(text), settings, steps)
    if as_json:
        print_json(inspection_record(text, pictures, asdict(replace(settings, dtype=session.number_format))))
        return
    show_legend()
    unfinished = False
    for picture in pictures:
        show_step(picture)
        unfinished = picture.finish_reason is None
    if unfinished and not quiet:
        report_line(f"Stopped after --steps {steps}; the text goes on.")


def _pictures(session: Session, prompt: list[int], settings: Settings, steps: int) -> Iterator[StepPicture]:
    from itertools import islice

    from specdec_cli.runtime.build import sampling_of
    from specdec_cli.tracing.inspection import picture
    from specdec_cli.tracing.watching import watch

    text = list(prompt)
    views = islice(watch(session, prompt, settings), steps)
    for number, view in enumerate(views, 1):
        yield picture(view, number, text[-CONTEXT:], sampling_of(settings), session.token_text)
        text += view.step.tokens
