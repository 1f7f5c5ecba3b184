"""`specdec audit`: is a method lossless here?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli import options as opt
from specdec_cli.errors import CHECK_FAILED, InputError
from specdec_cli.methods import METHODS
from specdec_cli.settings import Settings, load_settings

LEVELS = ("exact", "statistical", "greedy")
PROMPTS = 6

MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", help="Methods, with commas, or all. \\[default: all at level exact]"),
]
LevelOption = Annotated[str, typer.Option("--level", help="exact, statistical, greedy, with commas, or all.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Write the certificate to this file.")]


def audit(
    level: LevelOption = "exact",
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
    samples: Annotated[int, typer.Option(min=50, help="Texts at level statistical.")] = 400,
    length: Annotated[int, typer.Option(min=1, max=64, help="Their length, in tokens.")] = 3,
    n_tests: Annotated[int, typer.Option(min=1, help="Shipped prompts for greedy and --bound.")] = PROMPTS,
    output: OutputOption = None,
    preset: opt.PresetOption = None,
    target: opt.TargetOption = None,
    draft: opt.DraftOption = None,
    device: opt.DeviceOption = None,
    dtype: opt.DtypeOption = None,
    quantize: opt.QuantizeOption = None,
    draft_quantize: opt.DraftQuantizeOption = None,
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    temperature: opt.TemperatureOption = None,
    top_p: opt.TopPOption = None,
    top_k: opt.TopKOption = None,
    min_p: opt.MinPOption = None,
    seed: opt.SeedOption = None,
    max_tokens: opt.MaxTokensOption = None,
    chat: opt.ChatOption = None,
    method: opt.MethodOption = None,
    verify: opt.VerifyOption = None,
    gamma: opt.GammaOption = None,
    tree: opt.TreeOption = None,
    hub_above: opt.HubAboveOption = None,
    max_budget: opt.MaxBudgetOption = None,
    max_n_beams: opt.MaxNBeamsOption = None,
    max_beam_len: opt.MaxBeamLenOption = None,
    max_branch_width: opt.MaxBranchWidthOption = None,
    coupled: opt.CoupledOption = None,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Check that a method emits the target's own law: exactly on toys, by samples and greedily on models.

    Exit code 5 where a check fails.
    """
    settings = load_settings(preset, flags=opt.given_settings(locals())).settings
    prompts = [prompt] if prompt is not None else None
    levels, chosen = _levels(level), _methods(methods, method, settings, level)
    run(settings, levels, chosen, bound, self_test, prompts, samples, length, n_tests, output, as_json, quiet)


def run(
    settings: Settings,
    levels: tuple[str, ...],
    methods: tuple[str, ...],
    bound: bool,
    self_test: bool,
    prompts: list[str] | None,
    samples: int,
    length: int,
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

    if output is not None:
        require_writable(output)
    asked = prompts or shipped_prompts()[:n_tests]
    plan = AuditPlan(settings, levels, methods, bound, self_test, asked, samples, length)
    with status("Auditing", quiet) as activity:
        result = do(plan, activity.update)
    interrupts.check()
    if not quiet:
        for warning in result.warnings:
            report_warning(warning)
    record = show.certificate(plan, result, fingerprint())
    if output is not None:
        output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print_json(record)
    else:
        for table in show.tables(result):
            out().print(table)
        out().print("PASSED" if result.passed else "FAILED")
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


def require_writable(path: Path) -> None:
    """Check that a file can be written before a long run.

    Raises:
        InputError: its folder is not there, or it is a folder itself.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"The file {path} cannot be written.", "Give a path in a folder that exists.")


def _levels(text: str) -> tuple[str, ...]:
    wanted = (
        LEVELS if text.strip() == "all" else tuple(part.strip() for part in text.split(",") if part.strip())
    )
    for each in wanted:
        if each not in LEVELS:
            raise InputError(f"There is no level {each!r}.", f"The levels are {', '.join(LEVELS)}, or all.")
    return wanted


def _methods(listed: str | None, single: str | None, settings: Settings, level: str) -> tuple[str, ...]:
    """The methods asked for; without any, all at level exact alone, else the settings' own."""
    if listed is None:
        everything = single is None and level.strip() == "exact"
        return tuple(METHODS) if everything else (settings.method,)
    if listed.strip() == "all":
        return tuple(METHODS)
    wanted = tuple(part.strip() for part in listed.split(",") if part.strip())
    for each in wanted:
        if each not in METHODS:
            raise InputError(f"There is no method {each!r}.", f"The methods are {', '.join(METHODS)}.")
    return wanted or (settings.method,)
