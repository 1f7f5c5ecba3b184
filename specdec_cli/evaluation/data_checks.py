"""What is odd about a file of answers and should be known beside its scores; with the lines."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.evaluation.languages import answer_language, language_of
from specdec_cli.evaluation.results import Answer

MOST_DATASETS = 200  # that are scored one by one: more are names of something else
SHOWN = 5  # lines that are named


def remarks(answers: Sequence[Answer], language: str) -> list[str]:
    """Sentences about empty answers, missing references, ids that stand twice and mixed languages.

    Args:
        answers: of one file.
        language: "en", "zh" or "auto", as asked for.
    """
    found = [
        _sentence([each for each in answers if each.is_empty], "empty: counted, and scored as such"),
        _sentence([each for each in answers if each.reference is None], "without a reference: not compared"),
        _sentence(_repeated(answers), "with an id that stands above already: counted each time"),
        _datasets(answers),
        _mixed(answers) if language == "auto" else _foreign(answers, language),
        _sentence(
            [each for each in answers if _in_another_language(each)], "in another language than its reference"
        ),
    ]
    return [sentence for sentence in found if sentence]


def _sentence(answers: Sequence[Answer], what: str) -> str:
    if not answers:
        return ""
    lines = ", ".join(str(each.line) for each in answers[:SHOWN])
    lines += ", ..." if len(answers) > SHOWN else ""
    noun, word = ("answer is", "line") if len(answers) == 1 else ("answers are", "lines")
    return f"{len(answers)} {noun} {what} ({word} {lines})."


def _datasets(answers: Sequence[Answer]) -> str:
    count = len({each.dataset for each in answers})
    if count <= MOST_DATASETS:
        return ""
    return f"{count} data sets are named: scored together, not each ({MOST_DATASETS} at most)."


def _repeated(answers: Sequence[Answer]) -> list[Answer]:
    seen: set[str] = set()
    found = []
    for answer in answers:
        if answer.named and answer.id in seen:
            found.append(answer)
        seen.add(answer.id)
    return found


def _mixed(answers: Sequence[Answer]) -> str:
    languages = {language for each in answers if (language := answer_language(each))}
    chinese = [each for each in answers if answer_language(each) == "zh"]
    return _sentence(chinese, "Chinese, the others English: scored apart") if len(languages) > 1 else ""


def _foreign(answers: Sequence[Answer], language: str) -> str:
    foreign = [each for each in answers if answer_language(each) not in (None, language)]
    return _sentence(foreign, f"not in the language {language}, and scored as if it were")


def _in_another_language(answer: Answer) -> bool:
    own, wanted = language_of(answer.prediction), language_of(answer.reference or "")
    return own is not None and wanted is not None and own != wanted
