"""`specdec ensemble`: several models as one, token by token or segment by segment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.cli import batch, generate, specem, unused
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import read_prompt
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS, PLAIN, canonical
from specdec_cli.settings import load_settings
from specdec_cli.settings.ensembles import OWN

TOKEN_LEVEL = (*(name for name, method in METHODS.items() if method.is_ensemble), PLAIN)
SPECEM = "specem"
DEFAULT = "we"


class Names(StrEnum):
    """What the fields of results are called."""

    PLAIN = "plain"
    SPECEM = "specem"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an algorithm besides the settings.

    Attributes:
        prompt: as given.
        preset: to start from.
        stream: whether text is printed as it comes; None where that depends on the terminal.
        show_owners: whether to colour tokens by model.
        as_json: whether the result is printed as JSON.
        quiet: whether nothing but the result and errors is printed.
        many: prompts to answer instead of one, and where to; None for one.
        cache: whether models keep what they have read from round to round (specem).
    """

    prompt: str | None
    preset: str | None
    stream: bool | None
    show_owners: bool
    as_json: bool
    quiet: bool
    many: batch.Many | None
    cache: bool

    @property
    def streams(self) -> bool:
        """Whether text is printed as it comes."""
        return (sys.stdout.isatty() if self.stream is None else self.stream) and not self.as_json


AlgorithmOption = Annotated[
    str | None,
    typer.Option(
        "--algorithm",
        help="we: a weighted average of the models; cd: the first against the second; -sd and -chef: "
        "sampled as --exec says; specem: models draft segments and judge each other's; large_model: the "
        "first alone. \\[default: the preset's, or we]",
    ),
]
CacheOption = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep what models have read from round to round, or read it anew (specem).",
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", help="Prompts to answer: a file, or a data set's name.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="File of the answers to --input: .json or .jsonl.")
]
NamesOption = Annotated[
    Names | None,
    typer.Option(
        "--names",
        help="Fields of the answers: as here, or as SpecEM's program has them. \\[default: plain]",
    ),
]
CountOption = Annotated[
    int | None,
    typer.Option("--n-tests", min=1, max=opt.MOST, help="Prompts of --input to answer. \\[default: all]"),
]
ShowOwnersOption = Annotated[
    bool,
    typer.Option(
        "--show-owners",
        "--show-accepted",
        help="Colour each token by the model that proposed it.",
        rich_help_panel="Output",
    ),
]


@takes_settings(
    *groups.ENSEMBLE,
    *groups.SEGMENTS,
    *groups.TARGET,
    *groups.DRAFT,
    *groups.METHOD,
    *groups.SHAPE,
    *groups.SAMPLING,
    worded={"gamma": "gammas"},
    leaves_out={
        **because("members stay in memory: a plan of layers knows one model", *groups.OFFLOADING),
        "algorithm": "--algorithm is an option of its own here, which names methods too",
        **groups.GAMMAS_BY_GAMMA,
    },
)
def ensemble(
    *,
    prompt: opt.PromptOption = None,
    algorithm: AlgorithmOption = None,
    preset: opt.PresetOption = None,
    given: Given,
    cache: CacheOption = True,
    input: InputOption = None,
    output: OutputOption = None,
    names: NamesOption = None,
    n_tests: CountOption = None,
    stream: opt.StreamOption = None,
    show_owners: ShowOwnersOption = False,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Answer a prompt, or a file of them, with several models as one.

    Token by token the text follows exactly the law that the options declare; specem chooses among segments.
    """
    many = batch.many(prompt, input, output, names and names.value, n_tests)
    if many is not None:
        unused.require_used_by_files(stream, show_owners, as_json)
    request = Request(prompt, preset, stream, show_owners, as_json, quiet, many, cache)
    runs = find(algorithm, given.get("method"), preset)
    runs(algorithm, given, request)


def token_level(algorithm: str | None, flags: Given, request: Request) -> None:
    """The models agree on every token: what `specdec generate` does with the same method."""
    unused.require_no_shape(flags, "models propose chains here")
    given = _with_method(algorithm, flags, request.preset)
    resolved = load_settings(request.preset, flags=given, leave_out=("algorithm",))
    unused.require_used_by_tokens(given, resolved.settings, request.cache)
    if request.many is not None:
        batch.run(request.many, resolved.settings, quiet=request.quiet)
        return
    showing = generate.Showing(request.streams, request.show_owners, request.as_json, request.quiet)
    generate.run(read_prompt(request.prompt), resolved, showing)


def segment_level(algorithm: str | None, flags: Given, request: Request) -> None:
    """The models draft segments and judge each other's."""
    given = flags if algorithm is None else {**flags, "algorithm": algorithm}
    if "method" not in flags and load_settings(request.preset, flags={}).origins["method"] == "default":
        unused.require_no_shape(
            flags, unused.PLAIN_MEMBERS, "Leave it out, or add a --method that drafts trees."
        )
    resolved = load_settings(request.preset, flags=given)
    unused.require_used_by_segments(given, specem.settings_of(resolved), request.show_owners)
    shown = specem.Output(request.streams, request.as_json, request.quiet, request.cache)
    if request.many is not None:
        specem.run_file(request.many, resolved, shown)
    else:
        specem.run_prompt(read_prompt(request.prompt), resolved, shown)


def _with_method(algorithm: str | None, flags: Given, preset: str | None) -> Given:
    """The flags with the method that the algorithm is, or that the preset or the default names."""
    method = flags.get("method")
    if algorithm is None and method is None:
        named = load_settings(preset, flags={}).origins["method"] != "default"
        return flags if named else {**flags, "method": DEFAULT}
    if algorithm is None:
        algorithm = str(method)
    elif method is not None and canonical(str(method)) != canonical(algorithm):
        problem = f"--method {method} contradicts --algorithm {algorithm}."
        raise InputError(
            problem, f"Leave one out; with --algorithm {SPECEM} a method says how members draft."
        )
    if canonical(algorithm) != PLAIN:
        return {**flags, "method": algorithm}
    alone = {name: value for name, value in flags.items() if name not in OWN}
    if flags.get("models"):
        alone["target"] = str(flags["models"]).partition(",")[0].strip()
    return alone | {"method": PLAIN}


Runs = Callable[[str | None, Given, Request], None]
ALGORITHMS: dict[str, Runs] = {**dict.fromkeys(TOKEN_LEVEL, token_level), SPECEM: segment_level}


def find(algorithm: str | None, method: str | None, preset: str | None) -> Runs:
    """What runs an algorithm; the preset's, the one that is a method, or the default where none is named.

    Raises:
        InputError: there is none of that name.
    """
    if algorithm is None:
        algorithm = load_settings(preset, flags={}).settings.algorithm or method or DEFAULT
    found = ALGORITHMS.get(canonical(algorithm))
    if found is None:
        named = ", ".join(name for name in ALGORITHMS if name != PLAIN)
        problem = f"There is no algorithm {algorithm!r}."
        raise InputError(problem, f"The algorithms are {named}, large_model.")
    return found
