"""`specdec distill`: a draft for a target, taught by the target itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import in_home, read_items
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import PLAIN
from specdec_cli.settings import Settings, load_settings
from specdec_cli.storage.output import claimed_folder

if TYPE_CHECKING:
    from specdec_cli.distillation.recipe import Recipe

DRAFT, TEXT, TRAINING = "Draft", "The target's text", "Training"
FASTEST = 10.0  # of learning rates: Adam's steps are about as long as its rate, and weights are about 0.1


OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the draft.", rich_help_panel=DRAFT)
]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind",
        help="head reads the target's hidden states; layers is a small model of its architecture.",
        rich_help_panel=DRAFT,
    ),
]
LayersOption = Annotated[
    int | None,
    typer.Option(
        "--layers",
        min=1,
        max=256,
        help="Layers of the draft. [1 for head, 2 for layers]",
        rich_help_panel=DRAFT,
    ),
]
VocabularyOption = Annotated[
    int,
    typer.Option(
        "--vocabulary",
        min=1,
        max=opt.MOST,
        help="Tokens that it can propose: the commonest ones.",
        rich_help_panel=DRAFT,
    ),
]
StoreOption = Annotated[
    str,
    typer.Option("--store", help="Its weights on disk: float16, or int4 for a head.", rich_help_panel=DRAFT),
]
TokensOption = Annotated[
    int,
    typer.Option("--tokens", min=1, max=10**12, help="Tokens that the target writes.", rich_help_panel=TEXT),
]
PromptsOption = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        help="Data set whose prompts the target answers, instead of making up its own.",
        rich_help_panel=TEXT,
    ),
]
TextsOption = Annotated[
    int,
    typer.Option(
        "--texts", min=1, max=65_536, help="Texts that it writes side by side.", rich_help_panel=TEXT
    ),
]
LengthOption = Annotated[
    int, typer.Option("--length", min=8, max=1 << 24, help="Tokens of each text.", rich_help_panel=TEXT)
]
TextOption = Annotated[
    Path | None,
    typer.Option(
        "--text",
        help="Folder of the text, for several drafts to learn from. \\[default: in --output]",
        rich_help_panel=TEXT,
    ),
]
LossOption = Annotated[
    str, typer.Option("--loss", help="kl, tv (total variation) or mixed.", rich_help_panel=TRAINING)
]
UnrollOption = Annotated[
    int,
    typer.Option("--unroll", min=1, max=8, help="Guesses in a row a head learns.", rich_help_panel=TRAINING),
]
EpochsOption = Annotated[
    int,
    typer.Option(
        "--epochs", min=1, max=1_000_000, help="How often it reads each text.", rich_help_panel=TRAINING
    ),
]
BatchOption = Annotated[
    int, typer.Option("--batch", min=1, max=65_536, help="Texts a step.", rich_help_panel=TRAINING)
]
RateOption = Annotated[
    float,
    typer.Option("--learning-rate", min=0, max=FASTEST, help="At its peak.", rich_help_panel=TRAINING),
]


@takes_settings(
    "target",
    *groups.COMPUTING,
    *groups.ORIGIN,
    "seed",
    leaves_out={
        "quantize": "a draft learns from the target's own weights, and serves the rounded ones too",
        **because("the draft is what is made here", *groups.DRAFT),
        **because("the target writes many texts at once, all its layers in memory", *groups.OFFLOADING),
        **because("a draft learns the whole law, at several temperatures", "temperature", *groups.FILTERS),
        **because("--length and --tokens say how long texts are, and how many", *groups.ENDING),
        **because("the target asks its own questions, in its own template", *groups.ASKING),
        **because("a draft is of use to every method that asks one", *groups.METHOD, *groups.SHAPE),
        **because("there is one target", *groups.ENSEMBLE, "gammas"),
        **groups.NO_SEGMENTS,
        "learning_rate": "--learning-rate is the training's own here",
    },
)
def distill(
    *,
    output: OutputOption,
    kind: KindOption = "head",
    layers: LayersOption = None,
    vocabulary: VocabularyOption = 8192,
    tokens: TokensOption = 1_000_000,
    prompts: PromptsOption = None,
    texts: TextsOption = 64,
    length: LengthOption = 384,
    text: TextOption = None,
    loss: LossOption = "kl",
    unroll: UnrollOption = 3,
    epochs: EpochsOption = 2,
    batch: BatchOption = 4,
    rate: RateOption = 1e-3,
    given: Given,
    store: StoreOption = "float16",
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Make a draft for a target: it writes text with itself, and a small model learns its distribution.

    Stop it at any time: the same command goes on where it was.
    """
    from specdec_cli.distillation.recipe import Recipe, require_store

    require_store(kind, store)
    output = in_home(output)
    settings = load_settings(flags=given).settings
    said = None if prompts is None else [item.prompt for item in read_items(prompts, None, 0, quiet)]
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
    """Load, distil, estimate the speed-up, show."""
    from specdec_cli.distillation.run import distil
    from specdec_cli.distillation.speedup_estimate import estimate_speedup
    from specdec_cli.reporting.console import print_json, report_warning, status
    from specdec_cli.reporting.distill import Watch, show_report
    from specdec_cli.runtime.session import Session

    settings = replace(settings, chat=None, system=None)  # of prompts, and no prompt is answered here
    watch = Watch(quiet)
    with status("Loading", quiet) as activity:
        teacher = Session.load(replace(settings, method=PLAIN), activity.update)
    if not quiet:
        for warning in teacher.warnings:
            report_warning(warning)
    found = distil(teacher.target, recipe, output, text, prompts, watch, store)
    interrupts.check()
    folder = str(output.absolute())  # not another model of that name
    drafting = replace(settings, method="specexec", draft=folder, max_tokens=1)
    with status("Measuring", quiet) as activity:
        session = Session.load(drafting, activity.update)
        expected = estimate_speedup(session, drafting, found.acceptance, activity.update)
    if as_json:
        print_json({**found.as_dict(), "here": expected.as_dict()})
    else:
        show_report(found, expected)


def require_folder(output: Path) -> None:
    """Check that a draft can be written there.

    Raises:
        InputError: it is a file, or holds another model.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file.", "Name a folder.")
    if output.is_dir() and any(output.iterdir()) and not (output / "work").is_dir():
        raise InputError(f"--output {output} is not empty and was not made by distill.", "Name a new folder.")
