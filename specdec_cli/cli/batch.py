"""Many prompts answered into one file, which a second run goes on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from specdec_cli.cli import interrupts
from specdec_cli.errors import InputError
from specdec_cli.settings import Settings

if TYPE_CHECKING:
    from specdec_cli.runtime.session import Session

ENDINGS = (".json", ".jsonl")
# What may change within a file of results: the first change no token, only how fast
# it comes; the others only how the law is sampled, so at temperature 0 no token, and above it the
# sample that a seed gives, but never its law.
# How members are rounded is none of these: it makes other models of them, and so another law.
IDLE = ("device", "draft_device", "compile", "threads", "exec", "gammas", "verify")


class Answerer(Protocol):
    """Loaded models, ready to answer."""

    def require(self, prompt: str) -> None:
        """Check that a prompt can be answered.

        Raises:
            InputError: it cannot; it is too long, for example.
        """
        ...

    def answer(self, prompt: str) -> Mapping[str, Any]:
        """Its `prediction`, and what else to keep."""
        ...


@dataclass(frozen=True, slots=True)
class Many:
    """What to answer, and where to.

    Attributes:
        source: a data set's name or file.
        results: the file of answers.
        names: of its fields.
        count: prompts to answer; None for all.
    """

    source: str
    results: Path
    names: str
    count: int | None


def many(
    prompt: str | None, source: str | None, results: Path | None, names: str | None, count: int | None
) -> Many | None:
    """The options of a run over many prompts; None for a run of one.

    Raises:
        InputError: options that do not go together.
    """
    if source is None:
        for flag, value in {"--output": results, "--names": names, "--n-tests": count}.items():
            if value is not None:
                raise InputError(f"{flag} is for many prompts.", "Name them with --input.")
        return None
    if prompt is not None or results is None or results.suffix.lower() not in ENDINGS:
        problem = "--input takes --output beside it, and no --prompt."
        raise InputError(problem, "Write --input prompts.jsonl --output results.json.")
    return Many(source, results, names or "plain", count)


def answer_all(
    wanted: Many, decisive: Mapping[str, object], load: Callable[[], Answerer], quiet: bool
) -> None:
    """Answer every prompt that the file of results has no answer to yet, and print the file's name.

    Args:
        wanted: what to answer.
        decisive: settings that decide what is written, and so must not change within a file.
        load: gives what answers, if anything is left to answer.
        quiet: print nothing else.

    Raises:
        InputError: the file is another's, or some prompt cannot be answered; then none is.
    """
    from specdec_cli.evaluation.batch import NAMES, ResultsFile, run_batch
    from specdec_cli.evaluation.datasets import introduction, read_dataset
    from specdec_cli.reporting.bench import BarProgress
    from specdec_cli.reporting.console import out, report_line

    items = read_dataset(wanted.source, wanted.count)
    with ResultsFile(wanted.results, NAMES[wanted.names], decisive) as file:
        before = len(file.records)
        if all(file.has(item) for item in items):
            report_line(f"{wanted.results} has an answer to each of the {len(items)} prompts.")
        else:
            if not quiet:
                report_line(introduction(items))
            answerer = load()

            def uninterrupted(prompt: str) -> Mapping[str, Any]:
                interrupts.check()
                made = answerer.answer(prompt)
                interrupts.check()
                return made

            with BarProgress(quiet) as progress:
                run_batch(items, uninterrupted, file, progress, answerer.require)
            if not quiet:
                report_line(f"{len(items)} answers, {len(file.records) - before} of them new.")
    out().out(str(wanted.results), highlight=False)


def number_format(settings: Settings) -> str:
    """What the models compute in, by name: "auto" is another format on another machine.

    Raises:
        InputError: there is no such device.
    """
    from specdec_cli.models.hardware import dtype_name, resolve_device, resolve_dtype

    return dtype_name(resolve_dtype(settings.dtype, resolve_device(settings.device)))


def run(wanted: Many, settings: Settings, *, quiet: bool) -> None:
    """Answer many prompts by the method of the settings."""
    from dataclasses import asdict

    decisive = {name: value for name, value in asdict(settings).items() if name not in IDLE}
    decisive["dtype"] = number_format(settings)
    answer_all(wanted, decisive, lambda: _decoding(settings, quiet), quiet)


def _decoding(settings: Settings, quiet: bool) -> Answerer:
    from specdec_cli.reporting.console import report_warning, status
    from specdec_cli.runtime.session import Session

    with status("Loading", quiet) as activity:
        session = Session.load(settings, activity.update)
    if not quiet:
        for warning in session.warnings:
            report_warning(warning)

    return _Decoding(session)


@dataclass(frozen=True, slots=True)
class _Decoding:
    """A session that answers."""

    session: Session

    def require(self, prompt: str) -> None:
        self.session.encode(prompt)

    def answer(self, text: str) -> Mapping[str, Any]:
        session = self.session
        prompt = session.encode(text)
        completion = session.completion(prompt)
        for step in session.steps(prompt):
            completion.add(step)
            interrupts.check()
        completion.finish()
        figures = completion.stats
        return {
            "prediction": completion.text,
            "tokens": figures.tokens,
            "tokens_per_second": figures.tokens_per_second,
        }
