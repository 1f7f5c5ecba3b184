"""Answers that are right or wrong: exact match, GSM8K's numbers, MMLU's letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specdec_cli.evaluation.metrics.base import Measure, MetricOptions, mean_measure
from specdec_cli.evaluation.metrics.reading import chosen_letter, reference_letter, worked_number
from specdec_cli.evaluation.results import Answer


def measure_exact(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Share of answers that are their reference, runs of white space counting as one space."""
    return _measure("exact", answers, lambda text: " ".join(text.split()) or None)


def measure_gsm8k(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Share of answers with the reference's number, as `reading.worked_number` reads it."""
    return _measure("gsm8k", answers, worked_number)


def measure_mmlu(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Share of answers with the reference's letter; a reference may be the number of a choice, from 0."""
    return _measure("mmlu", answers, chosen_letter, reference_letter)


def _measure(
    name: str,
    answers: Sequence[Answer],
    read: Callable[[str], object],
    read_reference: Callable[[str], object] | None = None,
) -> list[Measure]:
    """Share of readings equal to one of the references', over answers with a reference that can be read."""
    wanted = [{(read_reference or read)(each) for each in answer.good} - {None} for answer in answers]
    indexes = [index for index, values in enumerate(wanted) if values]
    is_right = [float(read(answers[index].prediction) in wanted[index]) for index in indexes]
    return [mean_measure(name, is_right, indexes)]
