"""`specdec replay`: verifiers and trees side by side on a trace, without the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.benchmarking.sweep import configurations
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import names_of
from specdec_cli.cli.setting_options import Given, because, swept_and_shared, takes_settings
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings import Settings

# What a trace fixes: the models and the sampling whose distributions it holds.
FIXED = (
    "target", "draft", "temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "ignore_eos",
)  # fmt: skip
DRAWS = 4


SWEEP = (
    "verify", "gamma", "tree", "max_budget", "max_n_beams", "max_beam_len", "max_branch_width",
    "min_log_prob", "decay",
)  # fmt: skip


@takes_settings(
    *SWEEP,
    "hub_above",
    "ngram_size",
    sweep=SWEEP,
    leaves_out={
        **because("a trace is of its models and its sampling", *FIXED),
        **because("no model is loaded", *groups.COMPUTING, "quantize", *groups.ORIGIN, *groups.OFFLOADING),
        **because("the draft is what a trace kept of it", "draft_device", "draft_quantize"),
        "stop": "what is replayed is how a text went on, not how it ended",
        **because("the prompt is in the trace as it was asked", *groups.ASKING),
        "method": "--methods names those that are replayed; none is the recorded one",
        "coupled": "a trace holds no noise that guesses could be coupled to",
        **because("ensembles are neither traced nor replayed", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
    },
)
def replay(
    *,
    trace: Annotated[Path, typer.Argument(help="What --trace wrote.")],
    methods: Annotated[
        str | None, typer.Option("--methods", help="Methods, with commas. \\[default: the recorded one]")
    ] = None,
    draws: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Trees to draw at each step where they are drawn by chance."),
    ] = DRAWS,
    given: Given,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Compare methods, verifiers and trees on recorded distributions, without the models.

    docs/benchmarking.md says what a trace keeps and which figures are exact.
    """
    swept, shared = swept_and_shared(given, SWEEP)
    chosen = names_of(methods or "")
    unknown = next((name for name in chosen if name not in METHODS), None)
    if unknown is not None:
        raise InputError(f"There is no method {unknown!r}.", f"The methods are {', '.join(METHODS)}.")
    run(trace, chosen, shared, swept, draws, as_json, quiet)


def run(
    path: Path,
    methods: list[str],
    shared: dict[str, object],
    swept: dict[str, str],
    draws: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read, replay, show."""
    from specdec_cli.benchmarking.replays import compare_on
    from specdec_cli.reporting.console import out, print_json, status
    from specdec_cli.reporting.replay import replay_record, replay_tables
    from specdec_cli.tracing.file import read_trace

    asked: dict[str, Settings] = {}

    def wanted(recorded: Settings) -> dict[str, Settings]:
        flags = {name: getattr(recorded, name) for name in FIXED} | shared
        found = configurations(None, flags, methods, swept) if methods else []
        own = {each.name: each.settings for each in found if each.name != each.baseline}
        asked.update(own)
        return own

    trace = read_trace(path)
    with status("Reading", quiet) as activity:
        rows = compare_on(trace, wanted, draws, activity.update)
    if as_json:
        print_json(replay_record(rows, asked, trace.top))
    else:
        for table in replay_tables(rows):
            out().print(table)
