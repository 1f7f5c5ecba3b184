"""`specdec models`: which models there are, and which fit together."""

from __future__ import annotations

from typing import Annotated

import typer

from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.options import JsonOption, QuietOption
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.errors import MISMATCH, InputError

app = typer.Typer(help="List, fetch and compare models.", no_args_is_help=True, rich_markup_mode="rich")

Name = Annotated[
    str, typer.Argument(help="A name from `specdec models list`, a hub id, a folder or a .gguf file.")
]

RUNNING = (
    *groups.DRAFT,
    *groups.OFFLOADING,
    *groups.SAMPLING,
    *groups.METHOD,
    *groups.SHAPE,
    *groups.ENSEMBLE,
    "gammas",
)
NAMED = {"target": "the model is named by an argument"}


@app.command("list")
def list_registered(as_json: JsonOption = False) -> None:
    """List the models that go by a short name and need no hub."""
    from specdec_cli.models.hub.resolve import describe
    from specdec_cli.reporting.console import out, print_json
    from specdec_cli.reporting.models import models_record, models_table

    if as_json:
        print_json(models_record(describe()))
    else:
        out().print(models_table(describe()))


@app.command()
@takes_settings(
    "revision",
    leaves_out={
        **NAMED,
        "trust_remote_code": "code is fetched with the rest, and not run",
        **because("nothing is loaded", *groups.COMPUTING, "quantize", *RUNNING),
        **groups.NO_SEGMENTS,
    },
)
def pull(
    *,
    name: Name,
    given: Given,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read the terms of this model, and accept them.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Bring a model to this machine, and print the folder that it lies in."""
    from specdec_cli.models.hub.resolve import pull as bring
    from specdec_cli.reporting.console import out, status

    with status(f"Fetching {name}", quiet) as activity:
        folder = bring(name, activity.update, revision=given.get("revision"), accept_terms=accept_terms)
    out().out(str(folder), highlight=False)


@app.command("compile")
@takes_settings(
    "dtype",
    *groups.ORIGIN,
    leaves_out={
        **NAMED,
        "device": "a processor's pass is compiled; on CUDA nothing is made ahead",
        "quantize": "what is compiled is of a shape and a number format, whatever weights are rounded to",
        "compile": "it is what the command does",
        "threads": "compiled code takes as many as a run says",
        **because("one model is compiled, and no text is written", *RUNNING),
        **groups.NO_SEGMENTS,
    },
)
def compile_ahead(*, name: Name, given: Given, quiet: QuietOption = False) -> None:
    """Compile a model's forward pass for --compile now, and print the folder that it lies in."""
    from specdec_cli.models.forward.select import compile_forward
    from specdec_cli.models.loader import load_model
    from specdec_cli.reporting.console import out, status

    with status(f"Loading {name}", quiet) as activity:
        loaded = load_model(name, device="cpu", report=activity.update, **given)
        folder = compile_forward(loaded.model, activity.update)
    out().out(str(folder), highlight=False)


@app.command()
@takes_settings(
    *groups.ORIGIN,
    leaves_out={
        **NAMED,
        **because("tokenizers are compared, nothing is loaded", *groups.COMPUTING, "quantize", *RUNNING),
        "draft": "the draft is named by an argument",
        **groups.NO_SEGMENTS,
    },
)
def check(
    *,
    target: Name,
    draft: Name,
    given: Given,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare two models' vocabularies: can DRAFT draft for TARGET? Exit code 3 if not."""
    from specdec_cli.models.eagle.files import head_folder
    from specdec_cli.models.hf.vocabulary import compare
    from specdec_cli.models.loader import load_tokenizer_only
    from specdec_cli.reporting.console import out, print_json, status
    from specdec_cli.reporting.models import vocabulary_lines, vocabulary_record
    from specdec_cli.settings.draft_spec import parse_draft

    if not parse_draft(draft).is_model:
        raise InputError(f"{draft} has no vocabulary of its own: it fits any target.", "Name a draft model.")
    if head_folder(draft) is not None:
        problem = f"{draft} shares its target's vocabulary, and is compared with it whenever it is loaded."
        raise InputError(problem, f"Try specdec generate --target {target} --draft {draft}.")
    with status("Reading the vocabularies", quiet) as activity:
        trusted = given.get("trust_remote_code", False)
        target_tokenizer, target_vocab_size = load_tokenizer_only(
            target, revision=given.get("revision"), trust_remote_code=trusted, report=activity.update
        )
        draft_tokenizer, draft_vocab_size = load_tokenizer_only(
            draft, trust_remote_code=trusted, report=activity.update
        )
        report = compare(target_tokenizer, draft_tokenizer, target_vocab_size, draft_vocab_size)
    if as_json:
        print_json(vocabulary_record(target, draft, report))
    else:
        out().out(vocabulary_lines(target, draft, report), highlight=False)
    if not report.compatible:
        raise typer.Exit(MISMATCH)
