"""`specdec evaluate`: how good are the answers in a file?"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specdec_cli.cli import options as opt
from specdec_cli.errors import InputError
from specdec_cli.evaluation.metrics.base import Encoder, MetricOptions
from specdec_cli.evaluation.metrics.table import METRICS

if TYPE_CHECKING:
    from specdec_cli.evaluation.scoring import ScoringPlan

LANGUAGES = {"auto": "auto", "en": "en", "zh": "zh", "cn": "zh"}
USUAL = "bleu,rouge,exact"
RUN = [name for name, metric in METRICS.items() if metric.runs_programs]


def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Files of answers (JSON or JSON lines), or folders.")],
    lang: Annotated[str, typer.Option("--lang", help="en, zh (or cn), or auto: each answer's own.")] = "auto",
    metrics: Annotated[
        str,
        typer.Option(help=f"With commas: {', '.join(METRICS)}."),
    ] = USUAL,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Other answers to the same prompts, to be paired.")
    ] = None,
    prediction_field: Annotated[
        str | None, typer.Option("--prediction-field", help="The field that holds the answer.")
    ] = None,
    bertscore_model: Annotated[
        str | None,
        typer.Option("--bertscore-model", help="A folder or hub id. \\[default: a MiniLM out of a package]"),
    ] = None,
    bertscore_layers: Annotated[
        int | None, typer.Option("--bertscore-layers", min=1, max=1000, help="Layers of it. \\[default: all]")
    ] = None,
    allow_code_execution: Annotated[
        bool, typer.Option("--allow-code-execution", help=f"Run the programs that {', '.join(RUN)} tests.")
    ] = False,
    code_seconds: Annotated[
        float,
        typer.Option(
            "--code-seconds", min=0.1, max=86_400, callback=opt.finite, help="Time for each of them."
        ),
    ] = 10.0,
    code_memory: Annotated[
        int, typer.Option("--code-memory", min=64, max=1 << 30, help="Memory of each, in MB.")
    ] = 1024,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Score answers against their references: BLEU, ROUGE, BERTScore, right or wrong, with intervals."""
    names, language = _names(metrics), _language(lang)
    running = next((name for name in names if METRICS[name].runs_programs), None)
    if running is not None and not allow_code_execution:
        problem = f"{running} runs programs that a model wrote, and that was not allowed."
        raise InputError(problem, "Add --allow-code-execution, best in a container, or leave it out.")
    if not math.isfinite(code_seconds):
        raise InputError(f"--code-seconds must be a number of seconds, not {code_seconds}.", "Write 10.")
    from specdec_cli.evaluation.sandbox import Limits
    from specdec_cli.evaluation.scoring import ScoringPlan

    encoder = _encoder_choice(bertscore_model, bertscore_layers, quiet)
    options = MetricOptions(encoder=encoder, limits=Limits(code_seconds, code_memory << 20))
    run(files, ScoringPlan(names, options, language), compare, prediction_field, as_json, quiet)


def run(
    files: list[Path],
    plan: ScoringPlan,
    other: Path | None,
    prediction_field: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read everything, score, show."""
    from specdec_cli.evaluation.data_checks import remarks
    from specdec_cli.evaluation.results import read_answers, results_files
    from specdec_cli.evaluation.scoring import compare, score
    from specdec_cli.reporting import evaluate as show
    from specdec_cli.reporting.console import out, print_json, report_warning, status

    paths = results_files(files)
    if other is not None and len(paths) != 1:
        raise InputError("--compare takes one file beside it.", "Give one file, and the other as --compare.")
    read = {path: read_answers(path, prediction_field) for path in paths}
    rest = read_answers(other, prediction_field) if other is not None else []
    records, found = [], []
    for path, answers in read.items():
        said = remarks(answers, plan.language)
        if not quiet:
            for sentence in said:
                report_warning(f"{path}: {sentence}")
        with status(f"Scoring {path}", quiet):
            rows = score(answers, plan)
        records.append(show.file_record(path, rows, said))
        if not as_json:
            out().print(show.scores_table(path, rows))
    if other is not None:
        with status(f"Comparing with {other}", quiet):
            found = compare(read[paths[0]], rest, plan)
        if not as_json:
            out().print(show.differences_table(paths[0], other, found))
    if as_json:
        print_json(show.evaluation_record(records, other, found))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    wrong = next((name for name in names if name not in METRICS), None)
    if wrong is not None or not names:
        raise InputError(f"There is no metric {wrong or ''!r}.", f"The metrics are {', '.join(METRICS)}.")
    return names


def _language(text: str) -> str:
    if text.lower() not in LANGUAGES:
        raise InputError(f"There is no language {text!r} here.", "Choose auto, en or zh.")
    return LANGUAGES[text.lower()]


def _encoder_choice(model: str | None, layers: int | None, quiet: bool) -> Callable[[str], Encoder]:
    """What gives the encoder of a language; nothing is fetched before it is called."""

    def encoder(language: str) -> Encoder:
        from specdec_cli.evaluation.metrics.bertscore import encoder_of
        from specdec_cli.models.encoder import encoder_folder
        from specdec_cli.reporting.console import report_line, report_warning

        if model is not None:
            return encoder_of(model, layers)
        if language != "en" and not quiet:
            report_warning("The usual BERTScore model knows English; --bertscore-model names a better one.")
        return encoder_of(str(encoder_folder(report_line)), layers)

    return encoder
