"""What a metric gives: a row of numbers for each answer, and the score of any selection of rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specdec_cli.errors import InputError
from specdec_cli.evaluation.results import Answer

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One score of many answers, which can be taken again of any part of them.

    Attributes:
        name: of the score, such as "rouge-1".
        rows: (n, d) what the score needs of each answer.
        statistic: the score, from 0 to 100, of a selection of rows (m, d).
        places: (n) indexes of the answers that the rows are of: those that the metric applies to.
        note: what makes it comparable: a signature or the name of a model.
        detail: whether it is a part of another score and stands in the JSON only.
    """

    name: str
    rows: Numbers
    statistic: Callable[[Numbers], float]
    places: tuple[int, ...]
    note: str = ""
    detail: bool = False


def mean_percent(rows: Numbers) -> float:
    """100 times the mean of a column (m, 1), added in order as the libraries add theirs."""
    return float(100 * (np.cumsum(rows[:, 0])[-1] / len(rows)))


def mean_measure(name: str, values: Sequence[float], places: Sequence[int], note: str = "") -> Measure:
    """The measure whose score is 100 times the mean of a value for each answer."""
    rows = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return Measure(name, rows, mean_percent, tuple(places), note)


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
