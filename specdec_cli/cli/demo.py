"""`specdec demo`: the default model, live, and what each method made of one prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import require_text
from specdec_cli.cli.results import require_kept
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.cli.usual import or_usual
from specdec_cli.errors import MismatchError
from specdec_cli.progress import Report
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.settings import Settings, load_settings

if TYPE_CHECKING:
    from specdec_cli.runtime.session import Session

PROMPT = (
    "Repeat this text word for word, and change nothing:\n\n"
    "The lighthouse stands on a rock at the mouth of the harbour. Every evening the keeper climbs its ninety "
    "steps and lights the lamp. Every morning he climbs them again and puts it out. The fishermen set their "
    "clocks by him. In forty years he has been late only once, and that night the fog was so thick that "
    "nobody noticed."
)
USUAL = {"max_tokens": 80}
METHODS: dict[str, dict[str, object]] = {
    "autoregressive": {"method": "autoregressive"},
    "specexec, ngram": {"method": "specexec", "draft": "ngram"},
}


@takes_settings(
    "target",
    *groups.COMPUTING,
    *groups.ORIGIN,
    "temperature",
    "seed",
    "max_tokens",
    usual=USUAL,
    leaves_out={
        "quantize": "what is shown is the target's own text, in its own weights",
        **because("what is compared are the drafts that come with the target", *groups.DRAFT),
        **because("`specdec offload-bench` compares with less memory", *groups.OFFLOADING),
        **because("--temperature shows sampling; `specdec bench` filters it too", *groups.FILTERS),
        **because("each method writes until --max-tokens or the model's end", "stop", "ignore_eos"),
        **because("the prompt is asked as the model is made to be asked", *groups.ASKING),
        **because("the methods that are compared are given, and as they are", *groups.METHOD, *groups.SHAPE),
        **because("there is one model; `specdec bench` compares ensembles", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
    },
)
def demo(
    *,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to decode.")] = PROMPT,
    given: Given,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of the comparison.")] = 3,
    quiet: opt.QuietOption = False,
) -> None:
    """Let the default model write with SpecExec, live, then time each method on the same prompt."""
    settings = {
        name: or_usual(load_settings(flags={**given, **choice}), USUAL) for name, choice in METHODS.items()
    }
    require_text(prompt)
    run(prompt, settings, rounds, quiet)


def run(prompt: str, settings: dict[str, Settings], rounds: int, quiet: bool) -> None:
    """Load once, write once, compare."""
    from specdec_cli.benchmarking.method_comparison import Contender, compare_methods
    from specdec_cli.reporting import generation as show
    from specdec_cli.reporting.console import err, out, report_warning, status
    from specdec_cli.reporting.method_comparison import method_comparison_table
    from specdec_cli.reporting.model_names import short_name
    from specdec_cli.runtime.session import Session
    from specdec_cli.settings.draft_spec import default_draft

    live = settings["specexec, ngram"]
    with status("Loading", quiet) as activity:
        session = Session.load(live, activity.update)
        own = _own_draft(session, activity.update)
        shipped = default_draft(session.target.name)
        label = replace(own, name="head") if shipped is not None and own.name == shipped.name else own
        for first in (True, False):
            drafting = replace(live, method="sps", draft=replace(own, ngram_first=first).text)
            settings = {**settings, f"sps, {replace(label, ngram_first=first).text}": drafting}
    interrupts.check()
    tokens = session.encode(prompt)
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)
        err().print(f"{prompt}\n", style="dim")
        if show.shows_colour():
            err().print("Tokens that were drafted and accepted are green.\n", style="dim")
    completion = session.completion(tokens)
    for step in session.steps(tokens):
        show.show_pieces(completion.add(step), show_accepted=True)
    show.show_pieces(completion.finish(), show_accepted=True)
    show.end_line()
    if not quiet:
        show.report_stats(completion.stats)
    contenders = [Contender(name, each) for name, each in settings.items()]
    with status("Warming up", quiet) as activity:
        standings = compare_methods(session, tokens, contenders, rounds, report=activity.update)
    title = f"{short_name(session.target.name)}, {session.number_format}, {live.max_tokens} tokens at most"
    out().print(method_comparison_table(standings, title, session.number_format))
    require_kept([each.name for each in standings if each.is_broken])


def _own_draft(session: Session, report: Report) -> DraftSpec:
    """A draft of the target's own, loaded: what ships for it; else a 4-bit copy, or half of the layers."""
    from specdec_cli.settings.draft_spec import default_draft, parse_draft

    copy = parse_draft("self:int4")
    half = parse_draft(f"layers:{max(1, session.target.layers // 2)}")
    shipped = default_draft(session.target.name)
    for draft in (shipped, copy if session.target.device.type == "cpu" else None):
        try:
            if draft is not None and not draft.is_ngram:
                session.draft(draft, report)
                return replace(draft, ngram_first=False)
        except MismatchError:  # other weights by that name, or layers that there is no 4-bit product for
            pass
    session.draft(half, report)
    return half
