"""What a metric is given, and what it gives: a row of numbers for each answer, and the score of any rows.

No library is imported here, nor by the metrics before they measure, so that the command line knows them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specdec_cli.errors import InputError
from specdec_cli.evaluation.languages import ENGLISH
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Encoder:
    """The model whose vectors BERTScore compares.

    Attributes:
        model: a folder, or a name on the hub.
        layers: how many of its layers to take; None for the library's choice, which only hub names have.
        name: what to call it in tables.
    """

    model: str
    layers: int | None
    name: str


def no_encoder(language: str) -> Encoder:
    """Stands for the choice of an encoder where none was made."""
    raise InputError(f"No model was chosen for BERTScore of {language}.", "Give --bertscore-model.")


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What was asked for beside the metrics; each takes what it needs of it.

    Attributes:
        language: of the answers, "en" or "zh".
        encoder: gives the model for BERTScore of a language; called only if that is asked for.
        limits: of programs that are run.
    """

    language: str = ENGLISH
    encoder: Callable[[str], Encoder] = no_encoder
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Measure:
    """One score of many answers, which can be taken again of any part of them.

    Attributes:
        name: of the score, such as "rouge-1".
        rows: (n, d) what the score needs of each answer.
        statistic: the score, from 0 to 100, of a selection of rows (m, d).
        indexes: (n) of the answers that the rows are of: those that the metric applies to.
        note: what makes it comparable: a signature or the name of a model.
        detail: whether it is a part of another score and stands in the JSON only.
    """

    name: str
    rows: Numbers
    statistic: Callable[[Numbers], float]
    indexes: tuple[int, ...]
    note: str = ""
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One name that `--metrics` takes.

    Attributes:
        measure: answers of one language to its measures, some of which may be of no answer.
        headings: what tables call its scores, where that is not the score's name.
        needs: fields that an answer must have, or it is left out.
        runs_programs: whether it runs what a model wrote, which has to be allowed.
    """

    measure: Callable[[Sequence[Answer], MetricOptions], list[Measure]]
    headings: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ("reference",)
    runs_programs: bool = False


def rows_of(values: Iterable[Sequence[float]]) -> Numbers:
    """Rows of numbers (n, d), one an answer."""
    import numpy as np

    return np.array(list(values), dtype=np.float64)


def mean_percent(rows: Numbers) -> float:
    """100 times the mean of a column (m, 1), added in order as the libraries add theirs."""
    return float(100 * (rows[:, 0].cumsum()[-1] / len(rows)))


def mean_measure(name: str, values: Sequence[float], indexes: Sequence[int], note: str = "") -> Measure:
    """The measure whose score is 100 times the mean of a value for each answer."""
    rows = rows_of([value] for value in values).reshape(-1, 1)
    return Measure(name, rows, mean_percent, tuple(indexes), note)


def referenced(answers: Sequence[Answer]) -> list[int]:
    """Indexes of the answers that have a reference."""
    return [index for index, answer in enumerate(answers) if answer.reference is not None]


def library(name: str, metric: str) -> Any:
    """The module of that name.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = "Install it: pip install 'specdec-cli[eval]'"
        raise InputError(f"{metric} needs the library {name}, which is not here.", hint) from error
