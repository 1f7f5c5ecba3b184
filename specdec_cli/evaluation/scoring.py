"""Answers to scores: rows by data set and language, intervals by bootstrap, and two files paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from specdec_cli.errors import InputError
from specdec_cli.evaluation.data_checks import MOST_DATASETS
from specdec_cli.evaluation.languages import sort_by_language
from specdec_cli.evaluation.metrics.answers import measure_exact, measure_gsm8k, measure_mmlu
from specdec_cli.evaluation.metrics.base import Measure, Numbers
from specdec_cli.evaluation.metrics.bertscore import Encoder, measure_bertscore
from specdec_cli.evaluation.metrics.bleu import measure_bleu
from specdec_cli.evaluation.metrics.humaneval import measure_humaneval
from specdec_cli.evaluation.metrics.rouge import measure_rouge
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits

METRICS = ("bleu", "rouge", "bertscore", "exact", "gsm8k", "humaneval", "mmlu")
ALL = "all"
RESAMPLES = 1000
RESAMPLED = 4_000_000  # answers drawn at a time, which bounds the memory


@dataclass(frozen=True, slots=True)
class Score:
    """A score from 0 to 100 and its 95% interval; the ends are None where there is nothing to resample."""

    value: float
    low: float | None
    high: float | None
    answers: int
    note: str = ""
    detail: bool = False


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The scores of the answers of one language to one data set, or to all.

    Attributes:
        dataset: its name, or "all".
        language: "en" or "zh".
        answers: how many.
        empty: of them, how many say nothing; they count as wrong.
        scores: by name; a metric that applies to none of the answers is missing.
    """

    dataset: str
    language: str
    answers: int
    empty: int
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Difference:
    """Second file's score less the first one's, over the answers that both have."""

    name: str
    language: str
    answers: int
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Metrics:
    """What to measure, and with what.

    Attributes:
        names: of `METRICS`.
        encoder: gives the model for BERTScore of a language; called only if that is asked for.
        limits: of the programs that HumanEval runs.
        language: "en", "zh", or "auto" to score each language apart.
    """

    names: tuple[str, ...]
    encoder: Callable[[str], Encoder]
    limits: Limits
    language: str = "auto"

    def languages(self, answers: Sequence[Answer]) -> dict[str, list[int]]:
        """Indexes of the answers by the language that they are scored in."""
        if self.language == "auto":
            return sort_by_language(answers)
        return {self.language: list(range(len(answers)))}

    def measure(self, answers: Sequence[Answer], language: str) -> list[Measure]:
        """Every measure of some answers of one language that applies to any of them."""
        makers: dict[str, Callable[[], list[Measure]]] = {
            "bleu": lambda: measure_bleu(answers, language),
            "rouge": lambda: measure_rouge(answers, language),
            "bertscore": lambda: measure_bertscore(answers, self.encoder(language)),
            "exact": lambda: [measure_exact(answers)],
            "gsm8k": lambda: [measure_gsm8k(answers)],
            "humaneval": lambda: [measure_humaneval(answers, self.limits)],
            "mmlu": lambda: [measure_mmlu(answers)],
        }
        return [measure for name in self.names for measure in makers[name]() if measure.places]


def score(answers: Sequence[Answer], metrics: Metrics) -> list[ScoreRow]:
    """A row for each language, and under it one for each of its data sets: of `MOST_DATASETS` at most.

    Raises:
        InputError: no metric applies to any of the answers, or one cannot be computed.
    """
    rows: list[ScoreRow] = []
    for language, indexes in metrics.languages(answers).items():
        own = [answers[index] for index in indexes]
        measures = metrics.measure(own, language)
        rows.append(_row(ALL, language, own, list(range(len(own))), measures))
        datasets: dict[str, list[int]] = {}
        for place, answer in enumerate(own):
            datasets.setdefault(answer.dataset, []).append(place)
        for dataset, members in datasets.items() if 1 < len(datasets) <= MOST_DATASETS else ():
            rows.append(_row(dataset or "(none)", language, own, members, measures))
    if not any(row.scores for row in rows):
        problem = f"None of the answers can be scored by {', '.join(metrics.names)}."
        hint = "Most metrics need a `reference`; humaneval needs `test` and `entry_point`."
        raise InputError(problem, hint)
    return rows


def _row(
    dataset: str, language: str, own: Sequence[Answer], members: list[int], measures: Sequence[Measure]
) -> ScoreRow:
    wanted = set(members)
    scores = {}
    for measure in measures:
        rows = measure.rows[[place in wanted for place in measure.places]]
        if len(rows):
            low, high = (None, None) if measure.detail else _interval(len(rows), _of_rows(measure, rows))
            value = measure.statistic(rows)
            scores[measure.name] = Score(value, low, high, len(rows), measure.note, measure.detail)
    empty = sum(own[place].is_empty for place in members)
    return ScoreRow(dataset, language, len(members), empty, scores)


def _of_rows(measure: Measure, rows: Numbers) -> Callable[[Numbers], float]:
    return lambda index: measure.statistic(rows[index.astype(np.int64)])


def _interval(count: int, statistic: Callable[[Numbers], float]) -> tuple[float | None, float | None]:
    """The 95% percentile interval of a statistic of `count` answers, by resampling them."""
    if count < 2:
        return None, None
    found = stats.bootstrap(
        (np.arange(count),), statistic, n_resamples=RESAMPLES, method="percentile", vectorized=False, rng=0,
        batch=max(1, RESAMPLED // count),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def compare(first: Sequence[Answer], second: Sequence[Answer], metrics: Metrics) -> list[Difference]:
    """Both files' scores over the answers that both have, and the difference, resampled in pairs.

    Raises:
        InputError: an id names other prompts in the other file or stands twice, or nothing can be paired.
    """
    by_id = unique(second)
    pairs = [(one, by_id[one.id]) for one in unique(first).values() if one.id in by_id]
    if not pairs:
        raise InputError("The files have no answer in common.", "They are paired by `id`, else by number.")
    for one, other in pairs:
        if one.prompt.split() != other.prompt.split():
            problem = f"The id {one.id!r} names other prompts on line {one.line} and line {other.line}."
            raise InputError(problem, "Give two files of answers to the same prompts.")
    found: list[Difference] = []
    for language, indexes in metrics.languages([one for one, _ in pairs]).items():
        sides = [[pairs[index][side] for index in indexes] for side in (0, 1)]
        measures = [metrics.measure(side, language) for side in sides]
        known = {measure.name: measure for measure in measures[1]}
        for measure in measures[0]:
            if measure.name in known and not measure.detail:
                found += _difference(measure, known[measure.name], language)
    if not found:
        raise InputError("None of the answers that both files have can be scored.", "Add references.")
    return found


def unique(answers: Sequence[Answer]) -> dict[str, Answer]:
    """The answers by id.

    Raises:
        InputError: two have the same; the lines are named.
    """
    found: dict[str, Answer] = {}
    for answer in answers:
        if answer.id in found:
            lines = f"lines {found[answer.id].line} and {answer.line}"
            raise InputError(f"The id {answer.id!r} stands on {lines}.", "Answers are paired by id.")
        found[answer.id] = answer
    return found


def _difference(one: Measure, other: Measure, language: str) -> list[Difference]:
    rows = [{place: row for row, place in enumerate(measure.places)} for measure in (one, other)]
    places = [place for place in one.places if place in rows[1]]
    if not places:
        return []
    first, second = (
        measure.rows[[own[place] for place in places]]
        for measure, own in zip((one, other), rows, strict=True)
    )

    def difference(index: Numbers) -> float:
        chosen = index.astype(np.int64)
        return other.statistic(second[chosen]) - one.statistic(first[chosen])

    low, high = _interval(len(places), difference)
    values = one.statistic(first), other.statistic(second)
    return [Difference(one.name, language, len(places), *values, values[1] - values[0], low, high)]
