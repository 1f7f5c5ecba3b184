"""`specdec distill`: a draft for a target, taught by the target itself."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import PLAIN
from specdec_cli.settings import Settings, load_settings
from specdec_cli.storage.output import claimed_folder

if TYPE_CHECKING:
    from specdec_cli.distillation.recipe import Recipe

DRAFT, TEXT, TRAINING = "Draft", "The target's text", "Training"
FASTEST = 10.0  # of learning rates: Adam's steps are about as long as its rate, and weights are about 0.1


def distill(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the draft.", rich_help_panel=DRAFT)
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="head reads the target's hidden states; layers is a small model of its architecture.",
            rich_help_panel=DRAFT,
        ),
    ] = "head",
    layers: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="Layers of the draft. [1 for head, 2 for layers]", rich_help_panel=DRAFT
        ),
    ] = None,
    vocabulary: Annotated[
        int,
        typer.Option(
            min=1, max=opt.MOST, help="Tokens that it can propose: the commonest ones.", rich_help_panel=DRAFT
        ),
    ] = 8192,
    tokens: Annotated[
        int, typer.Option(min=1, max=10**12, help="Tokens that the target writes.", rich_help_panel=TEXT)
    ] = 1_000_000,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Data set whose prompts the target answers, instead of making up its own.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    texts: Annotated[
        int, typer.Option(min=1, max=65_536, help="Texts that it writes side by side.", rich_help_panel=TEXT)
    ] = 64,
    length: Annotated[
        int, typer.Option(min=8, max=1 << 24, help="Tokens of each text.", rich_help_panel=TEXT)
    ] = 384,
    text: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the text, for several drafts to learn from. [in --output]", rich_help_panel=TEXT
        ),
    ] = None,
    loss: Annotated[
        str, typer.Option(help="kl, tv (total variation) or mixed.", rich_help_panel=TRAINING)
    ] = "kl",
    unroll: Annotated[
        int, typer.Option(min=1, max=8, help="Guesses in a row a head learns.", rich_help_panel=TRAINING)
    ] = 3,
    epochs: Annotated[
        int,
        typer.Option(min=1, max=1_000_000, help="How often it reads each text.", rich_help_panel=TRAINING),
    ] = 2,
    batch: Annotated[
        int, typer.Option(min=1, max=65_536, help="Texts a step.", rich_help_panel=TRAINING)
    ] = 4,
    rate: Annotated[
        float,
        typer.Option("--learning-rate", min=0, max=FASTEST, help="At its peak.", rich_help_panel=TRAINING),
    ] = 1e-3,
    target: opt.TargetOption = None,
    device: opt.DeviceOption = None,
    dtype: opt.DtypeOption = None,
    revision: opt.RevisionOption = None,
    trust_remote_code: opt.TrustRemoteCodeOption = None,
    store: Annotated[
        str, typer.Option(help="Its weights on disk: float16, or int4 for a head.", rich_help_panel=DRAFT)
    ] = "float16",
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    seed: opt.SeedOption = None,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Make a draft for a target: it writes text with itself, and a small model learns its distribution.

    Stop it at any time: the same command goes on where it was.
    """
    from specdec_cli.distillation.recipe import Recipe, require_store

    require_store(kind, store)
    output = in_home(output)
    settings = load_settings(flags=opt.given_settings(locals())).settings
    said = None if prompts is None else read_prompts(prompts, quiet)
    recipe = Recipe(
        target=settings.target,
        kind=kind,
        layers=layers or (1 if kind == "head" else 2),
        vocabulary=vocabulary,
        tokens=tokens,
        texts=texts,
        length=length,
        prompts=None if said is None else hashlib.sha256("\0".join(said).encode()).hexdigest(),
        loss=loss,
        unroll=unroll,
        epochs=epochs,
        batch=batch,
        learning_rate=rate,
        seed=settings.seed,
        revision=settings.revision or "default",
    )
    require_folder(output)
    if text is not None and text.exists() and not text.is_dir():
        raise InputError(f"--text {text} is a file.", "Name a folder.")
    with claimed_folder(output / "work", f"--output {output}"):
        run(settings, recipe, output, text, said, store, as_json, quiet)


def run(
    settings: Settings,
    recipe: Recipe,
    output: Path,
    text: Path | None,
    prompts: list[str] | None,
    store: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Load, distil, estimate_speedup, show."""
    from specdec_cli.distillation.run import distil
    from specdec_cli.distillation.speedup_estimate import estimate_speedup
    from specdec_cli.reporting.console import print_json, report_warning, status
    from specdec_cli.reporting.distill import Watch, show_report
    from specdec_cli.runtime.session import Session

    watch = Watch(quiet)
    with status("Loading", quiet) as activity:
        teacher = Session.load(replace(settings, method=PLAIN), activity.update)
    if not quiet:
        for warning in teacher.warnings:
            report_warning(warning)
    found = distil(teacher.target, recipe, output, text, prompts, watch, store)
    interrupts.check()
    place = str(output.absolute())  # not another model of that name
    drafting = replace(settings, method="specexec", draft=place, max_tokens=1)
    with status("Measuring", quiet) as activity:
        session = Session.load(drafting, activity.update)
        appraisal = estimate_speedup(session, drafting, found.worth, activity.update)
    if as_json:
        print_json({**found.as_dict(), "here": asdict(appraisal)})
    else:
        show_report(found, appraisal)


def read_prompts(name: str, quiet: bool) -> list[str]:
    """The prompts of a data set by name or file; the first is shown."""
    from specdec_cli.evaluation.datasets import introduction, read_dataset
    from specdec_cli.reporting.console import report_line

    items = read_dataset(name)
    if not quiet:
        report_line(introduction(items))
    return [item.prompt for item in items]


def in_home(output: Path) -> Path:
    """The folder, `~` the home folder as for whoever reads it: shells leave `--output=~/x` as it is.

    Raises:
        InputError: there is no such user.
    """
    try:
        return output.expanduser()
    except RuntimeError as error:
        problem = f"--output {output} cannot be found: there is no such user."
        raise InputError(problem, "Name a folder.") from error


def require_folder(output: Path) -> None:
    """Check that a draft can be written there.

    Raises:
        InputError: it is a file, or holds another model.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file.", "Name a folder.")
    if output.is_dir() and any(output.iterdir()) and not (output / "work").is_dir():
        raise InputError(f"--output {output} is not empty and was not made by distill.", "Name a new folder.")
