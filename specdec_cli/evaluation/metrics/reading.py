"""The number or the letter that an answer settles on: GSM8K and MMLU, read as their reference harness does.

EleutherAI's lm-evaluation-harness takes GSM8K's number after `####` (strict match) or the last one (flexible
extract), and leaves off where a completion goes on with another question. What models write around a number
besides is read as a person would: headings are no marks; LaTeX, currencies and units no part of it.
"""

from __future__ import annotations

import re
from decimal import Decimal

from specdec_cli.evaluation.metrics.code import END_OF_TEXT, without_thought

# LaTeX and typography that stand within or around a number, and what they stand for.
PLAIN = (
    (re.compile(r"\{,\}|\\,(?=\d)|\\!"), ","),
    (re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))"), ""),
    (re.compile(r"\\([$%#_&])"), r"\1"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile("[\u2212\u2013](?=\\$?\\d)"), "-"),
    (re.compile(r"<<[^<>\n]*>>"), ""),  # GSM8K's calculator notes
)
DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
NUMBER = re.compile(
    rf"(?:(?<![\w).\]])-\s?)?[$€£¥]?(?:(?<=[$€£¥])-)?(?<![A-Za-z\d])(?:{DIGITS})(?!\d)(?!(?:st|nd|rd|th)\b)"
)
AROUND = r"[\s*_`~\"'(\[{$€£¥=:≈\\]{0,20}(?:boxed\s?\{)?[\s*_$€£¥]{0,20}"
MARK = re.compile(r"(?<!#)####(?!#)[ \t]*([^\n]*)")
MARKED = re.compile(rf"{AROUND}(?={NUMBER.pattern})")
HEADING = re.compile(r"[*_\s]*(\d+)(?:[):][*_]*[ \t]+\S|\.[*_]*[ \t]+[^\W\d])")
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
ANSWER = re.compile(
    r"(?i)\b(?:answer|result)\b[ \t*_]*(?:(?:is|was|are|equals|=|:)[ \t*_:]*)+([^\n]*(?:\n+[^\n]+)?)"
)
SENTENCE_END = re.compile(r"(?<=[^\d\s])[.!?](?=\s|$)|(?<=\d)[.!?](?=\s+[^\d\s]|$)|\n")
NEXT_QUESTION = re.compile(r"\n[ \t]{0,20}(?:\*\*)?(?:Question|Q|Problem)\b[^:\n]{0,12}:")

LETTERS = "ABCDEFGHIJ"
WRAPPED = r"(?:\\(?:text|mathrm|mathbf|textbf|boxed)\s*\{|[(\[*_\"'`$ \t{]){0,20}"
# A letter, where A is not the article nor I the pronoun.
CHOICE = r"([B-HJ]|[AI](?![ \t]+(?!(?:because|since|as|for|and|but|which|by|or)\b)[a-z]))\b(?!')"
MARKED_LETTER = re.compile(
    r"(?i:answer|option|choice)(?:[\s*_]+(?i:is|would be|should be|must be)|[\s*_]*:)+[\s*_]{0,20}"
    rf"(?:(?i:the|option|choice|letter)\s+)*{WRAPPED}{CHOICE}"
    rf"|\b(?i:it|this|that)(?i:'s|\s+is|\s+(?:must|should|would)\s+be)\s+(?i:option\s+)?{WRAPPED}{CHOICE}"
    r"|答案(?:应该|应)?(?:是|为|选|:|:)*\s*[((]?([A-J])"
    rf"|(?i:answer|option|choice)(?:\s+is|\s*:)\s*{WRAPPED}([a-j])(?=[)\]*}}.]|\s*$)"
    r"|\b([A-J])\b[)\]*\"'`]*\s+is\s+(?:(?:the|clearly|therefore)\s+)*(?:correct|right|best|answer)"
)
BOXED_LETTER = re.compile(r"\\boxed\s?\{\s{0,9}(?:\\\w{1,9}\s?\{)?\s{0,9}\(?([A-J])\b")
LEADING_LETTER = re.compile(r"\s*[(\[*_`]*([A-J])(?:[)\].:*_`,\s]|$)(?!\s*[a-z])")
LEADING_CHOICE = re.compile(r"\s*[(\[*_`]*([A-J])[)\].:*_`]+(?=\s|$)")
LETTER = re.compile(r"\b[B-HJ]\b")
WORD_LETTER = re.compile(r"(?<![.!?\n][ \n])(?<!^)\bA\b|\b[AI]\b(?![ \t]+[a-z]|')")
BRACKETED = re.compile(r"\(([a-j])\)")
BARE_LETTER = re.compile(r"[\s(\[*_`\"']*([A-Ja-j])[\s)\]*_`\"'.:]*")


def worked_number(text: str) -> Decimal | None:
    """The number of a worked answer; None where it names none.

    It is the first that stands after `####` (of a heading such as "#### Step 2" or "#### 2. Add" it is none),
    else that of the last line with such a mark which speaks of an answer, else the last in a LaTeX box, else
    the last that is called the answer, else the last number of all.
    """
    text = _plain(text)
    marks = [each[1] for each in MARK.finditer(text)]
    for ordinal, rest in enumerate(marks, 1):
        heading = HEADING.match(rest)
        numbered = heading is not None and int(heading[1]) == ordinal
        if not numbered and (at := MARKED.match(rest)):
            return _value(NUMBER.search(rest, at.end()))
    named = [rest for rest in marks if ANSWER.search(rest)]
    for part in (*named[-1:], *BOXED.findall(text)[-1:]):
        if found := list(NUMBER.finditer(part)):
            return _value(found[-1])
    called = [value for rest in ANSWER.findall(text) if (value := _called(rest)) is not None]
    return called[-1] if called else _value(_last(text))


def chosen_letter(text: str) -> str | None:
    """The letter that an answer settles on; None where there is none.

    It is the last one that it calls the answer, else the last in a LaTeX box, else one that it begins with,
    else the last that stands alone (A and I only if no other does, and only where they are no words), else
    the last small one in brackets.
    """
    text = _before_next_question(without_thought(END_OF_TEXT.split(text, maxsplit=1)[0]))
    if bare := BARE_LETTER.fullmatch(text):
        return bare[1].upper()
    marked = ["".join(groups) for groups in MARKED_LETTER.findall(text)] or BOXED_LETTER.findall(text)
    if marked:
        return str(marked[-1]).upper()
    leading = LEADING_CHOICE.match(text) or LEADING_LETTER.match(text)
    if leading:
        return leading[1]
    alone = LETTER.findall(text) or WORD_LETTER.findall(text) or BRACKETED.findall(text)
    return str(alone[-1]).upper() if alone else None


def reference_letter(text: str) -> str | None:
    """The letter of a reference, which may be the number of a choice, from 0."""
    stripped = text.strip()
    return LETTERS[int(stripped)] if re.fullmatch(r"[0-9]", stripped) else chosen_letter(stripped)


def _plain(text: str) -> str:
    text = _before_next_question(without_thought(END_OF_TEXT.split(text, maxsplit=1)[0]))
    for pattern, plain in PLAIN:
        text = pattern.sub(plain, text)
    return text


def _before_next_question(text: str) -> str:
    """A completion without the next question that a base model goes on with."""
    found = NEXT_QUESTION.search(text)
    return text[: found.start()] if found and text[: found.start()].strip() else text


def _called(rest: str) -> Decimal | None:
    """The number in what follows "the answer is": at its head, else the last of its sentence."""
    sentence = SENTENCE_END.split(rest.lstrip(), maxsplit=1)[0]
    at = MARKED.match(sentence)
    first = NUMBER.search(sentence, at.end()) if at else None
    equation = "=" in sentence
    return _value(first if first is not None and not equation else _last(sentence))


def _last(text: str) -> re.Match[str] | None:
    found = None
    for found in NUMBER.finditer(text):  # noqa: B007 - the last is wanted
        pass
    return found


def _value(found: re.Match[str] | None) -> Decimal | None:
    if found is None:
        return None
    try:
        return Decimal(re.sub(r"[^\d.-]", "", found[0])).normalize()
    except ArithmeticError:  # a text of nothing but digits
        return None
