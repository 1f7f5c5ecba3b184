"""ROUGE-1, -2 and -L as the package `rouge` gives them; Chinese is cut into words by jieba first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from specdec_cli.evaluation.languages import CHINESE
from specdec_cli.evaluation.metrics.base import Measure, library, mean_measure, referenced
from specdec_cli.evaluation.metrics.lcs import rouge_l
from specdec_cli.evaluation.results import Answer

NAMES = ("rouge-1", "rouge-2", "rouge-l")


def measure_rouge(answers: Sequence[Answer], language: str) -> list[Measure]:
    """Mean F of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004); the best of several references; an empty text 0."""
    scorer = library("rouge", "rouge").Rouge(metrics=list(NAMES[:-1]))
    words = _chinese_words() if language == CHINESE else str
    places = referenced(answers)
    found = [
        _best(scorer, words(answers[place].prediction), map(words, answers[place].good)) for place in places
    ]
    note = "rouge" + (", words by jieba" if language == CHINESE else "")
    return [mean_measure(name, [each[name] for each in found], places, note) for name in NAMES]


def _chinese_words() -> Callable[[str], str]:
    jieba = library("jieba", "rouge of Chinese text")
    jieba.setLogLevel(logging.WARNING)
    return lambda text: " ".join(jieba.cut(text))


def _best(scorer: Any, prediction: str, references: Iterable[str]) -> dict[str, float]:
    found = [_scores(scorer, prediction, each) for each in references]
    return {name: max(each[name] for each in found) for name in NAMES}


def _scores(scorer: Any, prediction: str, reference: str) -> dict[str, float]:
    if not _has_words(prediction) or not _has_words(reference):  # the library refuses them
        return dict.fromkeys(NAMES, 0.0)
    found = scorer.get_scores(prediction, reference)[0]
    return {name: float(each["f"]) for name, each in found.items()} | {
        NAMES[-1]: rouge_l(prediction, reference)
    }


def _has_words(text: str) -> bool:
    """Whether anything is left once the library has taken the full stops for ends of sentences."""
    return bool(text.replace(".", "").strip())
