"""The options that commands share and that are no settings, so that a flag has one name and one help text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

MOST = 2**31 - 1  # of what is counted: prompts, tokens


def finite(number: float | None) -> float | None:
    """Refuse infinity and NaN, which pass as numbers when an option is read."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter("it must be a finite number.")
    return number


PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings to start from: a name from `specdec presets list`, or a .yaml file.",
        rich_help_panel="Models",
    ),
]
PromptOption = Annotated[
    str | None, typer.Option("--prompt", "-p", help="The prompt; - reads it from standard input.")
]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        help="Write trees and distributions for `specdec replay`: a .jsonl or .jsonl.gz file.",
        rich_help_panel="Output",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel="Output")
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the result and errors only.", rich_help_panel="Output"),
]
StreamOption = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Print text as it comes, or all at the end. \\[default: as it comes, on a terminal]",
        rich_help_panel="Output",
    ),
]
ShowAcceptedOption = Annotated[
    bool,
    typer.Option(
        "--show-accepted", help="Mark the tokens that were drafted and accepted.", rich_help_panel="Output"
    ),
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", help="prompts (the shipped ones), a file, or a name such as mt-bench.")
]
PromptCountOption = Annotated[int, typer.Option("--n-tests", min=1, max=MOST, help="Prompts.")]
StartOption = Annotated[
    int, typer.Option("--start", min=0, max=MOST, help="Prompts to leave out at the beginning.")
]
LogNameOption = Annotated[
    str | None, typer.Option("--exp-name", help="Write logs/NAME.jsonl as it runs, and go on from it.")
]
LogFolderOption = Annotated[Path, typer.Option("--save-dir", help="Folder of the logs.")]
