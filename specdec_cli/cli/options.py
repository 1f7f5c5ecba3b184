"""The options that commands share, so that a flag has one name and one help text everywhere.

Every setting defaults to None, which means "not given": `load_settings` fills it in and checks it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from specdec_cli.settings import DEFAULTS, RULES

MOST = 2**31 - 1  # of what is counted: prompts, tokens


def _option(setting: str, *names: str) -> Any:
    rule, default = RULES[setting], DEFAULTS[setting]
    flag = f"--{setting.replace('_', '-')}"
    about = [rule.help]
    if rule.choices:
        about.append(f"One of {', '.join(rule.choices)}.")
    if default is None:
        about.append(f"\\[default: {rule.unset}]")
    elif default != () and default is not False:
        about.append(f"\\[default: {default}]")
    if default is False and not names:
        names = (f"{flag}/--no-{setting.replace('_', '-')}",)  # so that a flag can undo a preset
    return typer.Option(
        *(names or (flag,)), help=" ".join(about), rich_help_panel=rule.panel, show_default=False
    )


def finite(number: float | None) -> float | None:
    """Refuse infinity and NaN, which pass as numbers when an option is read."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter("it must be a finite number.")
    return number


def sweep(setting: str, *names: str) -> Any:
    """An option that takes lists and ranges of a setting's values."""
    flag = f"--{setting.replace('_', '-')}"
    return typer.Option(*(names or (flag,)), help=f"{RULES[setting].help} Sweeps.", rich_help_panel="Sweep")


def given_settings(parameters: Mapping[str, object]) -> dict[str, object]:
    """The settings among a command's parameters (its `locals()`, or the context's `params`)."""
    return {name: value for name, value in parameters.items() if name in RULES}


PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings to start from: a name from `specdec presets list`, or a .yaml file.",
        rich_help_panel="Models",
    ),
]
TargetOption = Annotated[str | None, _option("target", "--target", "-m")]
DraftOption = Annotated[str | None, _option("draft", "--draft", "-d")]
DeviceOption = Annotated[str | None, _option("device")]
DraftDeviceOption = Annotated[str | None, _option("draft_device")]
DtypeOption = Annotated[str | None, _option("dtype")]
QuantizeOption = Annotated[str | None, _option("quantize")]
DraftQuantizeOption = Annotated[str | None, _option("draft_quantize")]
OffloadOption = Annotated[str | None, _option("offload")]
ResidentLayersOption = Annotated[int | None, _option("resident_layers")]
MemoryLimitOption = Annotated[str | None, _option("memory_limit")]
LinkGbpsOption = Annotated[float | None, _option("link_gbps")]
CompileOption = Annotated[bool | None, _option("compile")]
RevisionOption = Annotated[str | None, _option("revision")]
TrustRemoteCodeOption = Annotated[bool | None, _option("trust_remote_code")]
ThreadsOption = Annotated[int | None, _option("threads")]

TemperatureOption = Annotated[float | None, _option("temperature", "--temperature", "-t")]
TopPOption = Annotated[float | None, _option("top_p")]
TopKOption = Annotated[int | None, _option("top_k")]
MinPOption = Annotated[float | None, _option("min_p")]
SeedOption = Annotated[int | None, _option("seed")]
MaxTokensOption = Annotated[int | None, _option("max_tokens", "--max-tokens", "-n")]
StopOption = Annotated[list[str] | None, _option("stop")]
IgnoreEosOption = Annotated[bool | None, _option("ignore_eos")]
ChatOption = Annotated[bool | None, _option("chat", "--chat/--raw")]
SystemOption = Annotated[str | None, _option("system")]

MethodOption = Annotated[str | None, _option("method")]
VerifyOption = Annotated[str | None, _option("verify")]
GammaOption = Annotated[str | None, _option("gamma", "--gamma", "-k")]
TreeOption = Annotated[str | None, _option("tree")]
HubAboveOption = Annotated[float | None, _option("hub_above")]
CoupledOption = Annotated[bool | None, _option("coupled")]
MaxBudgetOption = Annotated[str | None, _option("max_budget")]
MaxNBeamsOption = Annotated[int | None, _option("max_n_beams")]
MaxBeamLenOption = Annotated[int | None, _option("max_beam_len")]
MaxBranchWidthOption = Annotated[int | None, _option("max_branch_width")]
MinLogProbOption = Annotated[float | None, _option("min_log_prob")]
DecayOption = Annotated[float | None, _option("decay")]
NgramSizeOption = Annotated[int | None, _option("ngram_size")]

ModelsOption = Annotated[str | None, _option("models")]
AmateurOption = Annotated[str | None, _option("amateur")]
EnsembleFnOption = Annotated[str | None, _option("ensemble_fn")]
EnsembleTargetOption = Annotated[str | None, _option("ensemble_target")]
WeightsOption = Annotated[str | None, _option("weights")]
AlphaOption = Annotated[float | None, _option("alpha", "--alpha", "--mu")]
PlausibilityOption = Annotated[float | None, _option("plausibility")]
ExecOption = Annotated[str | None, _option("exec")]
GammasOption = Annotated[str | None, _option("gammas", "--gamma", "-k")]
VerifyModelsOption = Annotated[str | None, _option("verify_models")]
WindowSizeOption = Annotated[int | None, _option("window_size")]
MaxWordsOption = Annotated[int | None, _option("max_words")]
FastDecoderOption = Annotated[bool | None, _option("fast_decoder")]
SelfVoteOption = Annotated[bool | None, _option("self_vote")]
FeedbackOption = Annotated[bool | None, _option("feedback", "--feedback/--no-feedback")]
LearningRateOption = Annotated[float | None, _option("learning_rate")]
ScoringOption = Annotated[str | None, _option("scoring")]

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
