"""Prompts to measure on: the shipped ones, those of a file, or a well-known data set."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

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
from specdec_cli.evaluation.files import (
    EXAMPLE,
    MOST_BYTES,
    MOST_CHARACTERS,
    PACKED,
    Row,
    array_rows,
    line_rows,
    parsed,
    table_rows,
    text_rows,
    too_long,
)
from specdec_cli.resources import data_folder
from specdec_cli.storage.reading import is_text, size_in_words

SCORING_FIELDS = ("test", "entry_point")
SECONDS_TO_ANSWER = 5.0
SHOWN = 160  # characters of a first prompt
KINDS = ".jsonl, .json, .csv, .txt or .parquet"
SECONDS_TO_FETCH = 60.0

SPEC_BENCH = "https://raw.githubusercontent.com/hemingkx/Spec-Bench/main/data/spec_bench/question.jsonl"

# Name: hub id (@REVISION where the newest is a script, which `datasets` no longer runs) or address of a file,
# configuration, split, whether it is a stream, minimum characters of `text` (shorter: headings and scraps).
NAMED: dict[str, tuple[str, str | None, str, bool, int]] = {
    "mt-bench": ("HuggingFaceH4/mt_bench_prompts", None, "train", False, 0),
    "spec-bench": (SPEC_BENCH, None, "train", False, 0),
    "oasst": ("OpenAssistant/oasst1", None, "validation", False, 0),
    "wikitext": ("Salesforce/wikitext", "wikitext-2-raw-v1", "test", False, 200),
    "c4": ("allenai/c4", "en", "validation", True, 200),
    "cnn-dailymail": ("abisee/cnn_dailymail", "3.0.0", "test", False, 0),
    "openwebtext": ("Skylion007/openwebtext@refs/convert/parquet", None, "train", True, 200),
    "humaneval": ("openai/openai_humaneval", None, "test", False, 0),
    "gsm8k": ("openai/gsm8k", "main", "test", False, 0),
    "mmlu": ("cais/mmlu", "all", "test", False, 0),
}
STREAMS = {name for name, (_, _, _, streaming, _) in NAMED.items() if streaming}


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


def read_dataset(name: str = "prompts", count: int | None = None, start: int = 0) -> list[Item]:
    """The items of a data set, in its order.

    Args:
        name: `prompts` (the shipped ones), a file, or a key of `NAMED`.
        count: how many; all where None.
        start: how many to leave out at the beginning.

    Raises:
        InputError: there is no such data set, or something in it cannot be used, or it has too few items.
    """
    if start < 0 or (count is not None and count < 1):
        raise InputError(f"Cannot take {count} prompts from {start} on.", "Take 1 or more, from 0 on.")
    if count is None and name in STREAMS:
        raise InputError(f"{name} is too long to be read whole.", "Say how many prompts to take.")
    stop = None if count is None else start + count
    items = _unique(islice(_rows(name), stop), repairs=name in NAMED)
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
    places: dict[str, str] = {}
    for row in rows:
        place, number, _ = row
        item = _item(row)
        if item.id in places and repairs:
            item = replace(item, id=f"{item.id}#{number}")
        if item.id in places:
            problem = f"{place}: the id {item.id!r} is also that of {places[item.id]}."
            raise InputError(problem, "Give each prompt an id of its own, or none: its line counts then.")
        places[item.id] = place
        items.append(item)
    return items


def _rows(name: str) -> Iterator[Row]:
    if name in NAMED:
        return _hub(name)
    path = data_folder() / "prompts.jsonl" if name == "prompts" else Path(name)
    *inner, kind = ["", *(suffix.lower() for suffix in path.suffixes)]
    if kind == PACKED and inner and inner[-1] in UNPACKED:
        kind = inner[-1]
    if kind in READERS:
        return READERS[kind](path)
    near = get_close_matches(name.lower(), ("prompts", *NAMED), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The names are: prompts, {', '.join(NAMED)}."
    raise InputError(f"There is no data set {name!r}.", f"{hint} A {KINDS} file works too.")


def _parquet(path: Path) -> Iterator[Row]:
    records = _loaded(str(path), path="parquet", data_files=str(path), split="train", streaming=True)
    return ((f"{path}, row {number}", number, record) for number, record in enumerate(records, 1))


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": line_rows, ".json": array_rows, ".csv": table_rows, ".txt": text_rows, ".parquet": _parquet,
}  # fmt: skip
UNPACKED = tuple(kind for kind in READERS if kind != ".parquet")  # may end in .gz besides


def _hub(name: str) -> Iterator[Row]:
    hub_id, configuration, split, streaming, min_characters = NAMED[name]
    by_address = hub_id.startswith("https:")
    endpoint = hub_id if by_address else os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline or not _answers(endpoint):
        why = "HF_HUB_OFFLINE is set" if offline else "it does not answer"
        raise InputError(f"{name} comes from {endpoint}, and {why}.", f"Give a local {KINDS} file like it.")
    repository, _, revision = hub_id.partition("@")
    where = {"path": repository, "name": configuration, "revision": revision or None}
    if by_address:
        return _fetched(name, hub_id)
    return _wanted(name, _loaded(name, **where, split=split, streaming=streaming), min_characters)


def _fetched(name: str, address: str) -> Iterator[Row]:
    """The rows of a file of JSON lines at an address.

    `datasets` wants every field to have one type, which not every file has: Spec-Bench's references are
    lists, and lists of lists.
    """
    try:
        with urlopen(Request(address), timeout=SECONDS_TO_FETCH) as answer:
            data = answer.read(MOST_BYTES + 1)
            text = data.decode()
    except (OSError, ValueError) as error:
        reason = f"{name} cannot be fetched from {address}: {error}."
        raise InputError(reason, f"Give a local {KINDS} file like it.") from error
    if len(data) > MOST_BYTES:
        problem = f"{name} has more than {size_in_words(MOST_BYTES)} at {address}."
        raise InputError(problem, f"Give a local {KINDS} file of the part that is to be answered.")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{name}, row {number}", number, parsed(line, Path(name), number)


def _wanted(name: str, records: Iterable[Any], min_characters: int) -> Iterator[Row]:
    for number, record in enumerate(records, 1):
        reply = record.get("parent_id") is not None  # oasst holds whole conversations
        if not reply and len(record.get("text") or "") >= min_characters:
            yield (f"{name}, row {number}", number, record)


def _answers(endpoint: str) -> bool:
    """Ask in a thread, since looking a name up can outlast any timeout of the request's."""
    statuses: list[int] = []

    def ask() -> None:
        with suppress(Exception):  # whatever goes wrong, nobody has answered
            try:
                statuses.append(urlopen(Request(endpoint, method="HEAD"), timeout=SECONDS_TO_ANSWER).status)
            except HTTPError as answer:
                statuses.append(answer.code)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS_TO_ANSWER)
    return any(status < 500 for status in statuses)


def _loaded(name: str, /, **options: object) -> Iterator[Any]:
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        hint = "Install it: pip install 'specdec-cli[eval]'"
        raise InputError(f"{name} needs the `datasets` library, which is not here.", hint) from error
    try:
        yield from library.load_dataset(**options)
    except Exception as error:  # the library raises what any of its many parts raises
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{name} cannot be read: {reason}", f"A local {KINDS} file works too.") from error


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
