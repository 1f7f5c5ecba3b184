"""Answers to scores: rows by data set and language, intervals by bootstrap, and two files paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from specdec_cli.errors import InputError
from specdec_cli.evaluation.data_checks import MOST_DATASETS
from specdec_cli.evaluation.languages import sort_by_language
from specdec_cli.evaluation.metrics.base import Measure, MetricOptions
from specdec_cli.evaluation.metrics.table import METRICS, needs_in_words
from specdec_cli.evaluation.results import Answer

if TYPE_CHECKING:
    from specdec_cli.evaluation.metrics.base import Numbers

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


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """What to measure, and how.

    Attributes:
        metrics: names in `METRICS`.
        options: for all of them, whatever the language.
        language: "en", "zh", or "auto" to score each language apart.
    """

    metrics: tuple[str, ...]
    options: MetricOptions = field(default_factory=MetricOptions)
    language: str = "auto"

    def languages(self, answers: Sequence[Answer]) -> dict[str, list[int]]:
        """Indexes of the answers by the language that they are scored in."""
        if self.language == "auto":
            return sort_by_language(answers)
        return {self.language: list(range(len(answers)))}

    def measure(self, answers: Sequence[Answer], language: str) -> list[Measure]:
        """Every measure of some answers of one language that applies to any of them."""
        options = replace(self.options, language=language)
        found = [each for name in self.metrics for each in METRICS[name].measure(answers, options)]
        return [measure for measure in found if measure.indexes]


def score(answers: Sequence[Answer], plan: ScoringPlan) -> list[ScoreRow]:
    """A row for each language, and under it one for each of its data sets: of `MOST_DATASETS` at most.

    Raises:
        InputError: no metric applies to any of the answers, or one cannot be computed.
    """
    rows: list[ScoreRow] = []
    for language, indexes in plan.languages(answers).items():
        own = [answers[index] for index in indexes]
        measures = plan.measure(own, language)
        rows.append(_row(ALL, language, own, list(range(len(own))), measures))
        datasets: dict[str, list[int]] = {}
        for index, answer in enumerate(own):
            datasets.setdefault(answer.dataset, []).append(index)
        for dataset, members in datasets.items() if 1 < len(datasets) <= MOST_DATASETS else ():
            rows.append(_row(dataset or "(none)", language, own, members, measures))
    if not any(row.scores for row in rows):
        problem = f"None of the answers can be scored by {', '.join(plan.metrics)}."
        raise InputError(problem, needs_in_words())
    return rows


def _row(
    dataset: str, language: str, own: Sequence[Answer], members: list[int], measures: Sequence[Measure]
) -> ScoreRow:
    wanted = set(members)
    scores = {}
    for measure in measures:
        rows = measure.rows[[index in wanted for index in measure.indexes]]
        if len(rows):
            low, high = (None, None) if measure.detail else _interval(len(rows), _of_rows(measure, rows))
            value = measure.statistic(rows)
            scores[measure.name] = Score(value, low, high, len(rows), measure.note, measure.detail)
    empty = sum(own[index].is_empty for index in members)
    return ScoreRow(dataset, language, len(members), empty, scores)


def _of_rows(measure: Measure, rows: Numbers) -> Callable[[Numbers], float]:
    return lambda chosen: measure.statistic(rows[chosen.astype(np.int64)])


def _interval(count: int, statistic: Callable[[Numbers], float]) -> tuple[float | None, float | None]:
    """The 95% percentile interval of a statistic of `count` answers, by resampling them."""
    if count < 2:
        return None, None
    found = stats.bootstrap(
        (np.arange(count),), statistic, n_resamples=RESAMPLES, method="percentile", vectorized=False, rng=0,
        batch=max(1, RESAMPLED // count),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def compare(first: Sequence[Answer], second: Sequence[Answer], plan: ScoringPlan) -> list[Difference]:
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
    for language, indexes in plan.languages([one for one, _ in pairs]).items():
        sides = [[pairs[index][side] for index in indexes] for side in (0, 1)]
        measures = [plan.measure(side, language) for side in sides]
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
    row_of = [{index: row for row, index in enumerate(measure.indexes)} for measure in (one, other)]
    shared = [index for index in one.indexes if index in row_of[1]]
    if not shared:
        return []
    first, second = (
        measure.rows[[rows[index] for index in shared]]
        for measure, rows in zip((one, other), row_of, strict=True)
    )

    def difference(chosen: Numbers) -> float:
        some = chosen.astype(np.int64)
        return other.statistic(second[some]) - one.statistic(first[some])

    low, high = _interval(len(shared), difference)
    values = one.statistic(first), other.statistic(second)
    return [Difference(one.name, language, len(shared), *values, values[1] - values[0], low, high)]
