"""`specdec ensemble`: several models write one text."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from specdec_cli.cli import options as opt
from specdec_cli.cli import specem
from specdec_cli.cli.generate import read_prompt
from specdec_cli.errors import InputError
from specdec_cli.settings import load_settings


class Algorithm(StrEnum):
    """How the models work together."""

    SPECEM = "specem"


class Names(StrEnum):
    """What the fields of results are called."""

    PLAIN = "plain"
    SPECEM = "specem"


def ensemble(
    prompt: opt.PromptOption = None,
    algorithm: Annotated[
        Algorithm, typer.Option("--algorithm", "-a", help="How the models work together.")
    ] = Algorithm.SPECEM,
    models: opt.ModelsOption = None,
    verify_models: opt.VerifyModelsOption = None,
    weights: opt.WeightsOption = None,
    window_size: opt.WindowSizeOption = None,
    max_words: opt.MaxWordsOption = None,
    fast_decoder: opt.FastDecoderOption = None,
    self_vote: opt.SelfVoteOption = None,
    feedback: opt.FeedbackOption = None,
    learning_rate: opt.LearningRateOption = None,
    scoring: opt.ScoringOption = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache", help="Keep what models have read from round to round, or read it anew."
        ),
    ] = True,
    input: Annotated[
        str | None, typer.Option("--input", help="Prompts to answer: a file, or a data set's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File of the answers to --input: .json or .jsonl.")
    ] = None,
    names: Annotated[
        Names,
        typer.Option("--names", help="Fields of the answers: as here, or as SpecEM's program has them."),
    ] = Names.PLAIN,
    n_tests: Annotated[
        int | None, typer.Option(min=1, help="Prompts of --input to answer. \\[default: all]")
    ] = None,
    preset: opt.PresetOption = None,
    device: opt.DeviceOption = None,
    dtype: opt.DtypeOption = None,
    quantize: opt.QuantizeOption = None,
    trust_remote_code: opt.TrustRemoteCodeOption = None,
    threads: opt.ThreadsOption = None,
    compile: opt.CompileOption = None,
    temperature: opt.TemperatureOption = None,
    top_p: opt.TopPOption = None,
    top_k: opt.TopKOption = None,
    min_p: opt.MinPOption = None,
    seed: opt.SeedOption = None,
    stop: opt.StopOption = None,
    ignore_eos: opt.IgnoreEosOption = None,
    chat: opt.ChatOption = None,
    system: opt.SystemOption = None,
    method: opt.MethodOption = None,
    draft: opt.DraftOption = None,
    gamma: opt.GammaOption = None,
    max_budget: opt.MaxBudgetOption = None,
    stream: opt.StreamOption = None,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Let several models write one answer: they draft segments and judge each other's (specem)."""
    resolved = load_settings(preset, flags=opt.given_settings(locals()))
    streams = sys.stdout.isatty() if stream is None else stream
    shown = specem.Output(stream=streams, as_json=as_json, quiet=quiet, reuse=cache)
    if input is None:
        if output is not None:
            raise InputError("--output is for many prompts.", "Name them with --input.")
        specem.run_prompt(read_prompt(prompt), resolved, shown)
        return
    if prompt is not None or output is None or output.suffix.lower() not in (".json", ".jsonl"):
        problem = "--input takes --output beside it, and no --prompt."
        raise InputError(problem, "Write --input prompts.jsonl --output results.json.")
    specem.run_file(input, output, names.value, n_tests, resolved, shown)
