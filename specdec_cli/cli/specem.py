"""SpecEM behind `specdec ensemble --algorithm specem`: one prompt, or a file of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from specdec_cli.cli import interrupts
from specdec_cli.cli.batch import Many, answer_all, number_format
from specdec_cli.registry.drafts import NGRAM
from specdec_cli.registry.methods import METHODS, PLAIN
from specdec_cli.settings import DEFAULTS, Resolved, Settings

if TYPE_CHECKING:
    from specdec_cli.reporting.specem import Tally
    from specdec_cli.specem.rounds import SpecEM

# What decides the text of an answer, and so must not change within a file of results.
DECISIVE = (
    "models", "verify_models", "weights", "window_size", "max_words", "fast_decoder", "self_vote",
    "feedback", "learning_rate", "scoring", "seed", "temperature", "top_p", "top_k", "min_p", "stop",
    "ignore_eos", "chat", "system", "quantize", "dtype", "revision", "method", "draft", "gamma", "verify",
    "draft_quantize",
)  # fmt: skip
STATIC = ("tree", "hub_above", "max_budget", "max_beam_len")


@dataclass(frozen=True, slots=True)
class Output:
    """How to show an answer.

    Attributes:
        stream: print segments as they win.
        as_json: print everything as JSON instead.
        quiet: print nothing but the result.
        reuse: False has models read their context anew in every round, for comparison.
    """

    stream: bool
    as_json: bool
    quiet: bool
    reuse: bool


def settings_of(resolved: Resolved) -> Settings:
    """The settings of the members: without a method asked for, they draft by plain decoding."""
    from dataclasses import replace

    settings = resolved.settings
    if resolved.origins["method"] == "default":
        settings = replace(settings, method=PLAIN)
    if settings.gammas:
        settings = replace(settings, gamma=settings.gammas[0])
    if resolved.origins["draft"] == "default" and METHODS[settings.method].takes_ngram:
        return replace(settings, draft=NGRAM)
    return settings


def run_prompt(prompt: str, resolved: Resolved, output: Output) -> None:
    """Answer one prompt. Ctrl-C keeps the segments that have won and ends with exit code 130."""
    from specdec_cli.benchmarking.machine import fingerprint
    from specdec_cli.reporting import specem as show
    from specdec_cli.reporting.console import print_json
    from specdec_cli.reporting.generation import end_line
    from specdec_cli.runtime.specem import identical_of

    settings = settings_of(resolved)
    ensemble = _loaded(settings, output)
    tally = _answer(ensemble, prompt, show_rounds=output.stream and not output.as_json)
    if output.as_json:
        machine: dict[str, object] = {**fingerprint(), "dtype": number_format(settings)}
        identical = identical_of(ensemble, settings)
        print_json(show.answer_record(prompt, tally, asdict(settings), machine, identical))
    else:
        for each in () if output.stream else tally.rounds:
            show.show_round(each, tally.drafters)
        end_line()
    if not output.quiet:
        show.report_tally(tally)
    if not tally.rounds or tally.rounds[-1].finish_reason is None:
        raise typer.Exit(interrupts.exit_code())


def run_file(many: Many, resolved: Resolved, output: Output) -> None:
    """Answer every prompt of a data set that the file of results has no answer to yet."""
    from specdec_cli.runtime.specem import model_names, rules_of

    settings = settings_of(resolved)
    model_names(settings)
    rules_of(settings)

    decisive = {name: getattr(settings, name) for name in DECISIVE} | {"dtype": number_format(settings)}
    decisive |= _decisive_shape(settings)
    answer_all(many, decisive, lambda: _Answering(_loaded(settings, output)), output.quiet)


def _decisive_shape(settings: Settings) -> dict[str, object]:
    """What of a static tree's shape is not as usual: it decides which sample a seed gives."""
    if not METHODS[settings.method].takes_tree:
        return {}
    shape = {name: getattr(settings, name) for name in STATIC}
    return {name: value for name, value in shape.items() if value != DEFAULTS[name]}


@dataclass(frozen=True, slots=True)
class _Answering:
    """An ensemble that answers many prompts."""

    ensemble: SpecEM

    def require(self, prompt: str) -> None:
        self.ensemble.begin(prompt)

    def answer(self, prompt: str) -> Mapping[str, Any]:
        from specdec_cli.reporting.specem import summary

        tally = _answer(self.ensemble, prompt, show_rounds=False)
        return {"prediction": tally.text, **summary(tally)}


def _loaded(settings: Settings, output: Output) -> SpecEM:
    from specdec_cli.reporting.console import status
    from specdec_cli.runtime.specem import load_ensemble

    with status("Loading", output.quiet) as activity:
        ensemble = load_ensemble(settings, activity.update, reuse=output.reuse)
    interrupts.check()
    return ensemble


def _answer(ensemble: SpecEM, prompt: str, *, show_rounds: bool) -> Tally:
    """The rounds of one answer, up to a Ctrl-C."""
    from specdec_cli.reporting.specem import Tally, show_round

    drafters = [member.name for member in ensemble.drafters]
    tally = Tally(drafters, [member.name for member in ensemble.verifiers], [])
    rounds = []
    try:
        for each in ensemble.answer(prompt):
            with interrupts.held():
                rounds.append(each)
                if show_rounds:
                    show_round(each, drafters)
            interrupts.check()
    except KeyboardInterrupt:
        pass
    return Tally(drafters, tally.verifiers, rounds)
