"""Prompts to measure on: the shipped ones, those of a file, or a well-known data set."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from specdec_cli.errors import InputError
from specdec_cli.resources import data_folder

PROMPT_FIELDS = ("prompt", "instruction", "question", "turns", "article", "text", "input")
REFERENCE_FIELDS = (
    "reference", "references", "answer", "output", "canonical_solution", "target", "highlights",
)  # fmt: skip
ID_FIELDS = ("id", "question_id", "task_id")
CATEGORY_FIELDS = ("category", "dataset")
NUMBERS_TOO = (str, int, float)
SECONDS_TO_ANSWER = 5.0
KINDS = ".jsonl, .json, .csv, .txt or .parquet"
EXAMPLE = 'Write objects such as {"prompt": "Why is the sky blue?"}.'

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

Row = tuple[str, int, Any]  # the place (for messages), its number, and what stands there


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt, and what a good answer to it would be where that is known."""

    id: str
    prompt: str
    category: str = ""
    reference: str | None = None


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
    if path.suffix.lower() in READERS:
        return READERS[path.suffix.lower()](path)
    near = get_close_matches(name.lower(), ("prompts", *NAMED), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The names are: prompts, {', '.join(NAMED)}."
    raise InputError(f"There is no data set {name!r}.", f"{hint} A {KINDS} file works too.")


def _text(path: Path) -> str:
    try:
        data = path.expanduser().read_bytes().removeprefix(codecs.BOM_UTF8)
        text = data.decode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise InputError(f"{path}, line {line}: not UTF-8 text.", "Save it as UTF-8.") from error
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~NOBODY
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read: {reason}.", "Check the path.") from error
    if not text.strip():
        raise InputError(f"{path} is empty.", "Put a prompt into it.")
    return text


def _lines(path: Path) -> Iterator[tuple[str, int, str]]:
    """Split at line feeds alone: JSON may hold other characters that str.splitlines would split at."""
    lines = enumerate(_text(path).split("\n"), 1)
    return ((f"{path}, line {number}", number, line) for number, line in lines if line.strip())


def _txt(path: Path) -> Iterator[Row]:
    return ((place, number, {"prompt": line.strip()}) for place, number, line in _lines(path))


def _jsonl(path: Path) -> Iterator[Row]:
    return ((place, number, _parsed(line, path, number)) for place, number, line in _lines(path))


def _json(path: Path) -> Iterator[Row]:
    values = _parsed(_text(path), path, 1)
    if not isinstance(values, list):
        raise InputError(f"{path}, line 1: {_kind(values)}, not an array of objects.", EXAMPLE)
    return ((f"{path}, item {number}", number, value) for number, value in enumerate(values, 1))


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = first_line - 1 + getattr(error, "lineno", 1)
        reason = getattr(error, "msg", error)
        raise InputError(f"{path}, line {line}: not valid JSON ({reason}).", EXAMPLE) from error


def _csv(path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    try:
        header, line = next(reader), reader.line_num + 1
        for cells in reader:
            if len(cells) != len(header):
                raise csv.Error(f"{len(cells)} cells where the header has {len(header)}")
            yield (f"{path}, line {line}", line, dict(zip(header, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        hint = "Give every row as many cells as the header; put quotes around commas and line breaks."
        raise InputError(f"{path}, line {line}: not valid CSV ({error}).", hint) from error


def _parquet(path: Path) -> Iterator[Row]:
    records = _loaded(str(path), path="parquet", data_files=str(path), split="train", streaming=True)
    return ((f"{path}, row {number}", number, record) for number, record in enumerate(records, 1))


READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".txt": _txt, ".parquet": _parquet}


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
        where = {"path": "json", "data_files": hub_id}
    records = _loaded(name, **where, split=split, streaming=streaming)
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
        raise InputError(f"{place}: {_kind(record)}, not an object.", EXAMPLE)
    prompt = _field(record, PROMPT_FIELDS, place, (str,))
    if prompt is None:
        present = ", ".join(key for key, value in record.items() if value is not None) or "it has none"
        hint = f"These are, the first one present: {', '.join(PROMPT_FIELDS)}."
        raise InputError(f"{place}: none of its fields is a prompt ({present}).", hint)
    if not prompt.strip():
        raise InputError(f"{place}: an empty prompt.", "Fill it in, or take it out.")
    if isinstance(choices := record.get("choices"), list):  # mmlu, whose answer is the number of a choice
        prompt += "".join(f"\n{index}. {choice}" for index, choice in enumerate(choices))
    name = _field(record, ID_FIELDS, place) or str(number)
    category = _field(record, CATEGORY_FIELDS, place) or ""
    return Item(name, prompt, category, _field(record, REFERENCE_FIELDS, place) or None)


def _field(record: dict[str, Any], fields: Sequence[str], place: str, kinds: Any = NUMBERS_TOO) -> str | None:
    """The first of the fields that is there; of a list, its first element."""
    name = next((field for field in fields if record.get(field) is not None), None)
    if name is None:
        return None
    value = record[name]
    if isinstance(value, list):
        value = value[0] if value else ""
    if not isinstance(value, kinds):
        raise InputError(f"{place}: {name} is {_kind(value)}, not text.", "Put quotes around it.")
    return str(value)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
