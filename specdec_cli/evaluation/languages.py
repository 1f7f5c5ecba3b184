"""Which language a text is in: English or Chinese, by its letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from specdec_cli.evaluation.results import Answer

ENGLISH, CHINESE = "en", "zh"
CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
LETTER = re.compile(r"[^\W\d_]")
CHINESE_FROM = 0.3  # share of Chinese characters among the letters; a sentence may quote English names


def language_of(text: str) -> str | None:
    """The language of a text; None where it has no letters."""
    letters = len(LETTER.findall(text))
    if not letters:
        return None
    return CHINESE if len(CJK.findall(text)) >= CHINESE_FROM * letters else ENGLISH


def answer_language(answer: Answer) -> str | None:
    """The language that an answer should be in: its reference's, else its prompt's, else its own."""
    texts = (answer.reference or "", answer.prompt, answer.prediction)
    return next((found for text in texts if (found := language_of(text))), None)


def sort_by_language(answers: Sequence[Answer]) -> dict[str, list[int]]:
    """Indexes of the answers by language; one without letters goes with most of the others."""
    found = [answer_language(answer) for answer in answers]
    known = [language for language in found if language]
    usual = max(sorted(set(known)), key=known.count, default=ENGLISH)
    sorted_: dict[str, list[int]] = {}
    for index, language in enumerate(found):
        sorted_.setdefault(language or usual, []).append(index)
    return sorted_
