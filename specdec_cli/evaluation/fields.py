"""What the fields of a data set's row mean: which make up the prompt together, and which are good answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specdec_cli.errors import InputError

PROMPT_FIELDS = ("prompt", "instruction", "question", "turns", "article", "text", "input")
REFERENCE_FIELDS = (
    "reference", "references", "answer", "output", "canonical_solution", "target", "highlights",
)  # fmt: skip
# Fields of data sets alone; in a file of results "response" is what was predicted.
MORE_REFERENCES = (*REFERENCE_FIELDS, "answers", "response", "answerKey", "solution", "summary", "completion")
ID_FIELDS = ("id", "question_id", "task_id")
CATEGORY_FIELDS = ("category", "dataset")
CHOICE_FIELDS = ("choices", "options")
SYSTEM_FIELDS = ("system_prompt", "system")
# What a question is about stands before it; after an instruction, what it is to be done to.
MATERIAL = ("context", "passage", "paragraph", "document", "story", "background", "article")
OBJECTS = ("question", "input", *MATERIAL, "text")
NUMBERS_TOO = (str, int, float)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONG = 30  # characters: what is shorter may stand in a sentence by chance


def turns_of(row: Mapping[str, Any], place: str) -> list[str]:
    """The prompts of a row, one a turn; none where no field is a prompt.

    The first of `PROMPT_FIELDS` that is there says what is asked, and what belongs to it is joined to it by
    blank lines: an instruction's input, a question's context, the choices. What stands in it is not repeated.

    Raises:
        InputError: something among them is no text.
    """
    name = first(row, PROMPT_FIELDS)
    if name is None:
        return []
    turns = texts(row[name], name, place, (str,)) or [""]
    if not turns[0].strip():
        return turns
    before = [*SYSTEM_FIELDS, *(["instruction"] if name == "prompt" else [])]
    before += MATERIAL if name in ("prompt", "question", "input", "turns") else ()
    after: tuple[str, ...] = ("input",) if name in ("prompt", "question") else ()
    after = OBJECTS if name == "instruction" else after
    parts = [turns[0]]
    if _is_sample(row, place):
        after = tuple(field for field in after if field != "text")
    for field in reversed(before):
        parts[:0] = _part(row, field, name, parts, place)
    for field in after:
        parts += _part(row, field, name, parts, place)
    choices = "".join(f"\n{label}. {choice}" for label, choice in choices_of(row, place))
    return ["\n\n".join(parts) + choices, *turns[1:]]


def references_of(
    row: Mapping[str, Any], turns: int, place: str, fields: Sequence[str] = MORE_REFERENCES
) -> list[str]:
    """The good answers to a row's first turn, in order; the first present of the fields has them.

    A list holds one for each turn where it has as many elements as there are turns, and otherwise answers of
    which each is good; where a turn has several, they are a list within it. SQuAD has an object with `text`.

    Raises:
        InputError: one is no text.
    """
    name = first(row, fields)
    if name is None:
        return []
    value = row[name]
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list) and turns > 1 and len(value) == turns:
        value = value[0]
    if name != "references" and isinstance(several := row.get("references"), list):  # as results keep them
        value = [value, several]
    found = list(dict.fromkeys(each for each in texts(value, name, place) if each))
    choices = choices_of(row, place)
    if len(found) == 1 and choices:
        return [_chosen(found[0], row, choices)]
    return found


def choices_of(row: Mapping[str, Any], place: str) -> list[tuple[str, str]]:
    """Labels and texts of the answers to choose from; the labels are letters where the row has none."""
    name = first(row, CHOICE_FIELDS)
    value = None if name is None else row[name]
    if isinstance(value, Mapping):
        labels, found = value.get("label"), value.get("text")
        if not isinstance(labels, list) or not isinstance(found, list):
            labels, found = list(value), list(value.values())
        return [(str(label), str(each)) for label, each in zip(labels, found, strict=False)]
    if not isinstance(value, list) or name is None:
        return []
    if value and all(isinstance(each, Mapping) and "text" in each for each in value):
        return [
            (str(each.get("label", LETTERS[at % 26])), str(each["text"])) for at, each in enumerate(value)
        ]
    return [(LETTERS[at % 26], each) for at, each in enumerate(texts(value, name, place))]


def first(row: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """The first of the fields that is there."""
    return next((field for field in fields if row.get(field) is not None), None)


def field_text(row: Mapping[str, Any], fields: Sequence[str], place: str) -> str | None:
    """The first of the fields that is there as text; of a list, its first element."""
    name = first(row, fields)
    return None if name is None else next(iter(texts(row[name], name, place)), "")


def texts(value: object, name: str, place: str, kinds: tuple[type, ...] = NUMBERS_TOO) -> list[str]:
    """The texts in a field: itself, or the elements of a list, or of lists within it.

    Raises:
        InputError: something else stands there.
    """
    if isinstance(value, list):
        return [text for each in value for text in texts(each, name, place, kinds)]
    if not isinstance(value, kinds):
        hint = "Write the text itself." if isinstance(value, Mapping) else "Put quotes around it."
        raise InputError(f"{place}: {name} is {kind_of(value)}, not text.", hint)
    return [str(value)]


def kind_of(value: object) -> str:
    """What a value is called in JSON."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _part(row: Mapping[str, Any], field: str, main: str, parts: Sequence[str], place: str) -> list[str]:
    """What a field adds to the parts of a prompt."""
    if field == main or row.get(field) is None:
        return []
    text = "\n".join(texts(row[field], field, place))
    anywhere = main == "prompt" or len(text.strip()) >= LONG  # a prompt is often made of the other fields
    is_new = bool(text.strip()) and not any(_stands(text.strip(), part, anywhere) for part in parts)
    return [text] if is_new else []


def _stands(text: str, part: str, anywhere: bool) -> bool:
    """Whether a text stands in another: anywhere, or in lines of its own."""
    return text in part if anywhere else f"\n{text}\n" in f"\n{part}\n"


def _is_sample(row: Mapping[str, Any], place: str) -> bool:
    """Whether `text` is the whole row written out for training, answer included, as Alpaca's is."""
    text, instruction = row.get("text"), row.get("instruction")
    if not isinstance(text, str) or not isinstance(instruction, str) or instruction.strip() not in text:
        return False
    known = ("input", first(row, MORE_REFERENCES) or "output")
    others = [each for field in known if row.get(field) for each in texts(row[field], field, place)]
    return any(each.strip() and each.strip() in text for each in others)


def _chosen(reference: str, row: Mapping[str, Any], choices: Sequence[tuple[str, str]]) -> str:
    """A reference as a label; data sets give labels, or a choice's number from 0."""
    labels = [label for label, _ in choices]
    number = isinstance(row.get("answer"), int) and not isinstance(row.get("answer"), bool)
    if number and reference not in labels and int(reference) in range(len(labels)):
        return labels[int(reference)]
    return reference
