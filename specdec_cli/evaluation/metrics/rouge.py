"""ROUGE-1, -2 and -L as the package `rouge` gives them; Chinese is cut into words by jieba first.

For ROUGE-L the package keeps a table of all pairs of words of two sentences, so what goes on for ever is cut:
a sentence, which ends at a full stop, after `LONGEST_SENTENCE` words, and a text after `LONGEST_TEXT`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from specdec_cli.evaluation.languages import CHINESE
from specdec_cli.evaluation.metrics.base import Measure, MetricOptions, library, mean_measure, referenced
from specdec_cli.evaluation.results import Answer

NAMES = ("rouge-1", "rouge-2", "rouge-l")
LONGEST_SENTENCE = 1000  # words
LONGEST_TEXT = 20_000


def measure_rouge(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Mean F of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004); the best of several references; an empty text 0."""
    scorer = library("rouge", "rouge").Rouge(metrics=list(NAMES))
    words = _chinese_words() if options.language == CHINESE else str
    indexes = referenced(answers)
    texts = [[words(text) for text in (answers[at].prediction, *answers[at].good)] for at in indexes]
    cut = [[_cut(text) for text in each] for each in texts]
    found = [_best(scorer, prediction, references) for prediction, *references in cut]
    note = "rouge" + (", words by jieba" if options.language == CHINESE else "")
    if cut != texts:
        note += f", of texts cut at {LONGEST_TEXT:,} words and sentences at {LONGEST_SENTENCE:,}"
    return [mean_measure(name, [each[name] for each in found], indexes, note) for name in NAMES]


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
    return {name: float(each["f"]) for name, each in scorer.get_scores(prediction, reference)[0].items()}


def _cut(text: str) -> str:
    """The text itself, unless it goes on for ever."""
    sentences = [sentence.split() for sentence in text.split(".")]
    if sum(map(len, sentences)) <= LONGEST_TEXT and max(map(len, sentences)) <= LONGEST_SENTENCE:
        return text
    kept, left = [], LONGEST_TEXT
    for sentence in sentences:
        kept.append(" ".join(sentence[: min(LONGEST_SENTENCE, left)]))
        left = max(left - len(sentence), 0)
    return ".".join(kept)


def _has_words(text: str) -> bool:
    """Whether anything is left once the library has taken the full stops for ends of sentences."""
    return bool(text.replace(".", "").strip())
