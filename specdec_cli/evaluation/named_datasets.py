"""The well-known data sets, one row each, and their rows from the hub or from an address.

docs/adding-a-dataset.md adds a row.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from specdec_cli.errors import InputError
from specdec_cli.evaluation.files import FILE_KINDS, MOST_BYTES, Row, library_records, parsed
from specdec_cli.storage.reading import size_in_words

HUB = "https://huggingface.co"
SECONDS_TO_ANSWER = 5.0
SECONDS_TO_FETCH = 60.0
LEAST_CHARACTERS = 200  # of a text that is a prompt: what is shorter are headings and scraps
SPEC_BENCH = "https://raw.githubusercontent.com/hemingkx/Spec-Bench/main/data/spec_bench/question.jsonl"

Record = Mapping[str, Any]


def is_any(record: Record) -> bool:
    """Whether a record is a prompt, where each is."""
    return True


def is_first_turn(record: Record) -> bool:
    """Whether a message begins a conversation, in a data set that holds whole ones."""
    return record.get("parent_id") is None


def is_long(record: Record) -> bool:
    """Whether a text is long enough to go on with."""
    return len(record.get("text") or "") >= LEAST_CHARACTERS


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that goes by a name.

    Attributes:
        source: its id on the hub, or the https address of a file of JSON lines.
        split: of those that the hub has.
        configuration: of those that the hub has; None where there is one only.
        revision: where the newest is a script, which the library no longer runs: one of plain files.
        is_prompt: which of its records are prompts.
        is_stream: too long to be read whole: it is read as far as is asked for.
    """

    source: str
    split: str = "train"
    configuration: str | None = None
    revision: str | None = None
    is_prompt: Callable[[Record], bool] = is_any
    is_stream: bool = False

    @property
    def has_address(self) -> bool:
        """Whether it is a file at an address, not on the hub."""
        return self.source.startswith("https:")


DATASETS = {
    "mt-bench": Dataset("HuggingFaceH4/mt_bench_prompts"),
    "spec-bench": Dataset(SPEC_BENCH),
    "oasst": Dataset("OpenAssistant/oasst1", "validation", is_prompt=is_first_turn),
    "wikitext": Dataset("Salesforce/wikitext", "test", "wikitext-2-raw-v1", is_prompt=is_long),
    "c4": Dataset("allenai/c4", "validation", "en", is_prompt=is_long, is_stream=True),
    "cnn-dailymail": Dataset("abisee/cnn_dailymail", "test", "3.0.0"),
    "openwebtext": Dataset(
        "Skylion007/openwebtext", revision="refs/convert/parquet", is_prompt=is_long, is_stream=True
    ),
    "humaneval": Dataset("openai/openai_humaneval", "test"),
    "gsm8k": Dataset("openai/gsm8k", "test", "main"),
    "mmlu": Dataset("cais/mmlu", "test", "all"),
}


def named_rows(name: str) -> Iterator[Row]:
    """The rows of a data set in `DATASETS` that are prompts, each with its number among all.

    Raises:
        InputError: it cannot be reached, or cannot be read.
    """
    dataset = DATASETS[name]
    endpoint = dataset.source if dataset.has_address else os.environ.get("HF_ENDPOINT") or HUB
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline or not _answers(endpoint):
        why = "HF_HUB_OFFLINE is set" if offline else "it does not answer"
        raise InputError(
            f"{name} comes from {endpoint}, and {why}.", f"Give a local {FILE_KINDS} file like it."
        )
    records = _fetched(name, dataset.source) if dataset.has_address else _of_hub(name, dataset)
    return (
        (f"{name}, row {number}", number, record) for number, record in records if dataset.is_prompt(record)
    )


def _of_hub(name: str, dataset: Dataset) -> Iterable[tuple[int, Any]]:
    records = library_records(
        name,
        path=dataset.source,
        name=dataset.configuration,
        revision=dataset.revision,
        split=dataset.split,
        streaming=dataset.is_stream,
    )
    return enumerate(records, 1)


def _fetched(name: str, address: str) -> Iterator[tuple[int, Any]]:
    """The objects of a file of JSON lines at an address, each with its line.

    The library wants every field to have one type, which not every file has: Spec-Bench's references are
    lists, and lists of lists.
    """
    try:
        with urlopen(Request(address), timeout=SECONDS_TO_FETCH) as answer:
            data = answer.read(MOST_BYTES + 1)
            text = data.decode()
    except (OSError, ValueError) as error:
        reason = f"{name} cannot be fetched from {address}: {error}."
        raise InputError(reason, f"Give a local {FILE_KINDS} file like it.") from error
    if len(data) > MOST_BYTES:
        problem = f"{name} has more than {size_in_words(MOST_BYTES)} at {address}."
        raise InputError(problem, f"Give a local {FILE_KINDS} file of the part that is to be answered.")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, parsed(line, Path(name), number)


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
