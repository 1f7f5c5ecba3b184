"""`specdec audit`: is a method lossless here?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.cli import setting_groups as groups
from specdec_cli.cli.inputs import names_of, read_prompt
from specdec_cli.cli.setting_options import Given, because, takes_settings
from specdec_cli.errors import CHECK_FAILED, InputError
from specdec_cli.registry.methods import METHODS, canonical
from specdec_cli.settings import Settings, load_settings
from specdec_cli.storage.output import claimed

LEVELS = ("exact", "statistical", "greedy")
PROMPTS = 6

MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", help="Methods, with commas, or all. \\[default: all at level exact]"),
]
LevelOption = Annotated[
    str | None,
    typer.Option("--level", help="exact, statistical, greedy, with commas, or all. \\[default: exact]"),
]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Write the certificate to this file.")]


@takes_settings(
    *groups.TARGET,
    *groups.DRAFT,
    *groups.LAW,
    "max_tokens",
    "ignore_eos",
    *groups.ASKING,
    *groups.METHOD,
    *groups.SHAPE,
    *groups.ENSEMBLE,
    leaves_out={
        **because("what is compared takes larger passes than an offloaded run plans for", *groups.OFFLOADING),
        "stop": "the texts that are compared have a length in tokens, --length or --max-tokens",
        **groups.GAMMAS_BY_GAMMA,
        **groups.NO_SEGMENTS,
    },
)
def audit(
    *,
    level: LevelOption = None,
    methods: MethodsOption = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="Also compare acceptance with the most that is possible.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Plant bugs and show which level sees each.")
    ] = False,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="The prompt. \\[default: the shipped ones]")
    ] = None,
    samples: Annotated[int, typer.Option(min=50, max=1_000_000, help="Texts at level statistical.")] = 400,
    length: Annotated[int, typer.Option(min=1, max=64, help="Their length, in tokens.")] = 3,
    n_tests: Annotated[
        int, typer.Option(min=1, max=opt.MOST, help="Shipped prompts for greedy and --bound.")
    ] = PROMPTS,
    output: OutputOption = None,
    preset: opt.PresetOption = None,
    given: Given,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Check that a method emits the target's own law: exactly on toys, by samples and greedily on models.

    Exit code 5 where a check fails.
    """
    levels = _levels(level, default=() if self_test or bound else ("exact",))
    asked = given.get("method")
    named = _methods(methods) or ([canonical(asked)] if asked else [])
    needed = named if levels != ("exact",) else [each for each in named if not METHODS[each].is_ensemble]
    settings = _settings(preset, given, needed)
    chosen = tuple(named or [settings.method])
    plan = {
        "settings": settings,
        "levels": levels,
        "exact_methods": tuple(named or METHODS),
        "methods": chosen,
        "every_verifier": "verify" not in given,
        "bound": bound,
        "self_test": self_test,
        "samples": samples,
        "length": length,
    }
    run(plan, None if prompt is None else read_prompt(prompt), n_tests, output, as_json, quiet)


def run(
    plan: dict[str, Any],
    prompt: str | None,
    n_tests: int,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Audit, show, write the certificate, and end with exit code 5 if something failed."""
    from specdec_cli.audit.run import AuditPlan
    from specdec_cli.audit.run import run as do
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.reporting import audit as show
    from specdec_cli.reporting.console import out, print_json, report_warning, status
    from specdec_cli.resources import shipped_prompts

    prompts = shipped_prompts()[:n_tests] if prompt is None else [prompt]
    made = AuditPlan(**plan, prompts=prompts)
    with claimed(output, "--output") as file:
        with status("Auditing", quiet) as activity:
            result = do(made, activity.update)
        interrupts.check()
        record = show.certificate(made, result, fingerprint())
        if file is not None:
            file.replace(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if not quiet:
        for warning in result.warnings:
            report_warning(warning)
    if as_json:
        print_json(record)
    else:
        for table in show.tables(result):
            out().print(table)
        if result.checked:
            out().print("PASSED" if result.passed else "FAILED")
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


def _levels(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if text is None:
        return default
    if text.strip() == "all":
        return LEVELS
    wanted = tuple(names_of(text))
    for each in wanted:
        if each not in LEVELS:
            raise InputError(f"There is no level {each!r}.", f"The levels are {', '.join(LEVELS)}, or all.")
    if not wanted:
        raise InputError("--level names no level.", f"The levels are {', '.join(LEVELS)}, or all.")
    return wanted


def _methods(listed: str | None) -> list[str]:
    """The methods that a list names; none if there is no list."""
    if listed is None:
        return []
    if listed.strip() == "all":
        return list(METHODS)
    wanted = [canonical(name) for name in names_of(listed)]
    for each in wanted:
        if each not in METHODS:
            raise InputError(f"There is no method {each!r}.", f"The methods are {', '.join(METHODS)}.")
    if not wanted:
        raise InputError("--methods names no method.", f"The methods are {', '.join(METHODS)}, or all.")
    return wanted


def _settings(preset: str | None, given: Given, named: list[str]) -> Settings:
    """The settings, checked for the first of the methods that takes all of them."""
    refusal: InputError | None = None
    for name in (*named, *([] if named else [None])):
        try:
            return load_settings(preset, flags={**given, "method": name}).settings
        except InputError as error:
            refusal = refusal or error
    assert refusal is not None, "some method was tried"
    raise refusal
