"""`specdec ensemble`: several models as one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from specdec_cli.cli import generate
from specdec_cli.cli import options as opt
from specdec_cli.errors import InputError
from specdec_cli.methods import METHODS, canonical
from specdec_cli.settings import load_settings
from specdec_cli.settings.ensembles import OWN

PLAIN = "autoregressive"  # also called large_model: the first model alone, to compare with
TOKEN_LEVEL = (*(name for name, method in METHODS.items() if method.is_ensemble), PLAIN)
DEFAULT = "we"
Flags = dict[str, object]


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
    """

    prompt: str | None
    preset: str | None
    stream: bool | None
    show_owners: bool
    as_json: bool
    quiet: bool


def ensemble(
    prompt: opt.PromptOption = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            "--algorithm",
            help="we: a weighted average of the models; cd: the first against the second; -sd and -chef: "
            "sampled as --exec says; large_model: the first alone. \\[default: the preset's, or we]",
        ),
    ] = None,
    models: opt.ModelsOption = None,
    preset: opt.PresetOption = None,
    target: opt.TargetOption = None,
    amateur: opt.AmateurOption = None,
    draft: opt.DraftOption = None,
    ensemble_fn: opt.EnsembleFnOption = None,
    ensemble_target: opt.EnsembleTargetOption = None,
    weights: opt.WeightsOption = None,
    alpha: opt.AlphaOption = None,
    plausibility: opt.PlausibilityOption = None,
    exec: opt.ExecOption = None,
    gamma: opt.GammasOption = None,
    verify: opt.VerifyOption = None,
    device: opt.DeviceOption = None,
    draft_device: opt.DraftDeviceOption = None,
    dtype: opt.DtypeOption = None,
    quantize: opt.QuantizeOption = None,
    draft_quantize: opt.DraftQuantizeOption = None,
    revision: opt.RevisionOption = None,
    trust_remote_code: opt.TrustRemoteCodeOption = None,
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    temperature: opt.TemperatureOption = None,
    top_p: opt.TopPOption = None,
    top_k: opt.TopKOption = None,
    min_p: opt.MinPOption = None,
    seed: opt.SeedOption = None,
    max_tokens: opt.MaxTokensOption = None,
    stop: opt.StopOption = None,
    ignore_eos: opt.IgnoreEosOption = None,
    chat: opt.ChatOption = None,
    system: opt.SystemOption = None,
    stream: opt.StreamOption = None,
    show_owners: Annotated[
        bool,
        typer.Option(
            "--show-owners",
            "--show-accepted",
            help="Colour each token by the model that proposed it.",
            rich_help_panel="Output",
        ),
    ] = False,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Answer a prompt with several models as one, exactly by the law that the options declare."""
    flags = opt.given_settings(locals())
    find(algorithm)(algorithm, flags, Request(prompt, preset, stream, show_owners, as_json, quiet))


def token_level(algorithm: str | None, flags: Flags, request: Request) -> None:
    """The models agree on every token: what `specdec generate` does with the same method."""
    resolved = load_settings(request.preset, flags=_with_method(algorithm, flags, request.preset))
    text = generate.read_prompt(request.prompt)
    stream = sys.stdout.isatty() if request.stream is None else request.stream
    generate.run(
        text,
        resolved,
        stream=stream and not request.as_json,
        show_accepted=request.show_owners,
        as_json=request.as_json,
        quiet=request.quiet,
    )


def _with_method(algorithm: str | None, flags: Flags, preset: str | None) -> Flags:
    """The flags with the method that the algorithm is, or that the preset or the default names."""
    if algorithm is None:
        named = load_settings(preset, flags={}).origins["method"] != "default"
        return flags if named else flags | {"method": DEFAULT}
    if canonical(algorithm) != PLAIN:
        return flags | {"method": algorithm}
    alone = {name: value for name, value in flags.items() if name not in OWN}
    if flags["models"]:
        alone["target"] = str(flags["models"]).partition(",")[0].strip()
    return alone | {"method": PLAIN}


ALGORITHMS: dict[str, Callable[[str | None, Flags, Request], None]] = dict.fromkeys(TOKEN_LEVEL, token_level)


def find(algorithm: str | None) -> Callable[[str | None, Flags, Request], None]:
    """What runs an algorithm; the preset's or the default one where none is named.

    Raises:
        InputError: there is none of that name.
    """
    found = ALGORITHMS.get(canonical(algorithm or DEFAULT))
    if found is None:
        named = ", ".join(name for name in ALGORITHMS if name != PLAIN)
        problem = f"There is no algorithm {algorithm!r}."
        raise InputError(problem, f"The algorithms are {named}, large_model.")
    return found
