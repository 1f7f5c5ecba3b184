"""Prompts to measure on: the shipped ones, those of a file, or a well-known data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.evaluation.fields import (
    CATEGORY_FIELDS,
    ID_FIELDS,
    PROMPT_FIELDS,
    field_text,
    kind_of,
    references_of,
    turns_of,
)
from specdec_cli.evaluation.files import EXAMPLE, FILE_KINDS, MOST_CHARACTERS, Row, reader_of, too_long
from specdec_cli.evaluation.named_datasets import DATASETS, named_rows
from specdec_cli.resources import data_folder
from specdec_cli.storage.reading import is_text

SHIPPED = "prompts"
SCORING_FIELDS = ("test", "entry_point")
SHOWN = 160  # characters of a first prompt


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt, and what a good answer to it would be where that is known.

    Attributes:
        id: its number in the file where it names none.
        prompt: the text.
        category: or data set that it belongs to.
        reference: a good answer.
        extra: what is kept beside an answer: `references` where there are several, the `turns` of a dialogue
            where there are several, and what scoring takes (`SCORING_FIELDS`).
    """

    id: str
    prompt: str
    category: str = ""
    reference: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)


def read_dataset(name: str = SHIPPED, count: int | None = None, start: int = 0) -> list[Item]:
    """The items of a data set, in its order.

    Args:
        name: `prompts` (the shipped ones), a file, or a key of `DATASETS`.
        count: how many; all where None.
        start: how many to leave out at the beginning.

    Raises:
        InputError: there is no such data set, or something in it cannot be used, or it has too few items.
    """
    if start < 0 or (count is not None and count < 1):
        raise InputError(f"Cannot take {count} prompts from {start} on.", "Take 1 or more, from 0 on.")
    if count is None and name in DATASETS and DATASETS[name].is_stream:
        raise InputError(f"{name} is too long to be read whole.", "Say how many prompts to take.")
    stop = None if count is None else start + count
    items = _unique(islice(_rows(name), stop), repairs=name in DATASETS)
    if len(items) < (stop or start + 1):
        asked = f"{start + 1} to {stop or 'the last'}"
        raise InputError(f"{name} has {len(items)} prompts, not {asked}.", "Ask for others, or for fewer.")
    return items[start:]


def _unique(rows: Iterable[Row], repairs: bool) -> list[Item]:
    """The items of some rows. Runs are paired by id, so that two of one id would be taken for one.

    Args:
        rows: in order.
        repairs: number the later of two, since nobody can change the data set.

    Raises:
        InputError: two rows have the same id.
    """
    items: list[Item] = []
    place_of: dict[str, str] = {}
    for row in rows:
        place, number, _ = row
        item = _item(row)
        if item.id in place_of and repairs:
            item = replace(item, id=f"{item.id}#{number}")
        if item.id in place_of:
            problem = f"{place}: the id {item.id!r} is also that of {place_of[item.id]}."
            raise InputError(problem, "Give each prompt an id of its own, or none: its line counts then.")
        place_of[item.id] = place
        items.append(item)
    return items


def _rows(name: str) -> Iterator[Row]:
    if name in DATASETS:
        return named_rows(name)
    path = data_folder() / "prompts.jsonl" if name == SHIPPED else Path(name)
    reader = reader_of(path)
    if reader is not None:
        return reader(path)
    names = (SHIPPED, *DATASETS)
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The names are: {', '.join(names)}."
    raise InputError(f"There is no data set {name!r}.", f"{hint} A {FILE_KINDS} file works too.")


def _item(row: Row) -> Item:
    place, number, record = row
    if not isinstance(record, dict):
        raise InputError(f"{place}: {kind_of(record)}, not an object.", EXAMPLE)
    turns = turns_of(record, place)
    if not turns:
        present = ", ".join(key for key, value in record.items() if value is not None) or "it has none"
        hint = f"These are, the first one present: {', '.join(PROMPT_FIELDS)}."
        raise InputError(f"{place}: none of its fields is a prompt ({present}).", hint)
    if not turns[0].strip():
        raise InputError(f"{place}: an empty prompt.", "Fill it in, or take it out.")
    if len(turns[0]) > MOST_CHARACTERS:
        raise too_long(place)
    if not all(map(is_text, turns)):
        raise InputError(f"{place}: half of a character in its prompt.", "Write both halves, or none.")
    name = field_text(record, ID_FIELDS, place) or str(number)
    references = references_of(record, len(turns), place)
    extra: dict[str, Any] = {"references": references} if len(references) > 1 else {}
    extra |= {"turns": turns} if len(turns) > 1 else {}
    extra |= {key: record[key] for key in SCORING_FIELDS if isinstance(record.get(key), str)}
    category = field_text(record, CATEGORY_FIELDS, place) or ""
    return Item(name, turns[0], category, next(iter(references), None), extra)


def introduction(items: Sequence[Item]) -> str:
    """The first prompt in one short line, to be seen before anything is answered."""
    words = " ".join(items[0].prompt.split())
    shown = (
        words
        if len(words) <= SHOWN
        else f"{words[: SHOWN // 2].rstrip()} ... {words[-SHOWN // 2 :].lstrip()}"
    )
    more = f" of {len(items)}" if len(items) > 1 else ""
    return f"First prompt{more} ({len(items[0].prompt):,} characters): {shown}"
