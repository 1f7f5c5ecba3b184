"""Answers that are right or wrong: exact match, GSM8K's numbers, MMLU's letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from specdec_cli.evaluation.metrics.base import Measure, mean_measure
from specdec_cli.evaluation.results import Answer

NUMBER = re.compile(r"-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\$?\.\d+")
MARKED_NUMBER = re.compile(r"####\s*([^\n]*)")
LETTER = re.compile(r"\b([A-J])\b")
MARKED_LETTER = re.compile(
    r"(?i:answer|option|choice)(?:\s+(?i:is)|\s*:)+\s*(?:(?i:option)\s+)?[(\[*\"' ]*([A-J])\b(?!')"
    r"|答案(?:是|为|:|:)*\s*[((]?([A-J])"
)
LEADING_LETTER = re.compile(r"\s*[(\[*]*([A-J])(?:[)\].:*,\s]|$)(?!\s*[a-z])")
LETTERS = "ABCDEFGHIJ"


def measure_exact(answers: Sequence[Answer]) -> Measure:
    """Share of answers that are their reference, runs of white space counting as one space."""
    return _measure("exact", answers, lambda text: " ".join(text.split()) or None)


def measure_gsm8k(answers: Sequence[Answer]) -> Measure:
    """Share of answers with the reference's number: that after the last ####, else the last one."""
    return _measure("gsm8k", answers, last_number)


def measure_mmlu(answers: Sequence[Answer]) -> Measure:
    """Share of answers with the reference's letter; a reference may be the number of a choice, from 0."""
    return _measure("mmlu", answers, chosen_letter, _reference_letter)


def _measure(
    name: str,
    answers: Sequence[Answer],
    read: Callable[[str], object],
    read_reference: Callable[[str], object] | None = None,
) -> Measure:
    """Share of equal readings, over answers whose reference can be read; one that says nothing is wrong."""
    wanted = [(read_reference or read)(answer.reference or "") for answer in answers]
    places = [place for place, value in enumerate(wanted) if value is not None]
    return mean_measure(
        name, [float(read(answers[place].prediction) == wanted[place]) for place in places], places
    )


def last_number(text: str) -> Decimal | None:
    """The number of a worked answer; None where it names none."""
    marked = MARKED_NUMBER.findall(text)
    found = NUMBER.findall(marked[-1]) if marked else NUMBER.findall(text)
    if not found:
        return None
    try:
        return Decimal(found[0 if marked else -1].replace(",", "").replace("$", "")).normalize()
    except InvalidOperation:
        return None


def chosen_letter(text: str) -> str | None:
    """The letter that an answer settles on; None where there is none.

    It is the last one that it calls the answer, else one that it begins with, else the last that stands alone
    (A and I, which are words, only if no other does).
    """
    marked = [one or other for one, other in MARKED_LETTER.findall(text)]
    if marked:
        return str(marked[-1]).upper()
    leading = LEADING_LETTER.match(text)
    if leading:
        return leading[1]
    alone = [letter for letter in LETTER.findall(text) if letter not in "AI"] or LETTER.findall(text)
    return str(alone[-1]) if alone else None


def _reference_letter(text: str) -> str | None:
    stripped = text.strip()
    if re.fullmatch(r"[0-9]", stripped):
        return LETTERS[int(stripped)]
    return stripped.upper() if re.fullmatch(r"[A-Ja-j]", stripped) else chosen_letter(stripped)
