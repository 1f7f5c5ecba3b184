"""The rows of a file of prompts, with the place of each: lines, arrays, tables, Parquet; packed or not."""

from __future__ import annotations

import codecs
import csv
import gzip
import importlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.evaluation.fields import kind_of
from specdec_cli.storage.reading import read_file, size_in_words

EXAMPLE = 'Write objects such as {"prompt": "Why is the sky blue?"}.'
MOST_BYTES = 512 << 20  # of a file, unpacked
MOST_CHARACTERS = 8 << 20  # of a row
PACKED = ".gz"
FILE_KINDS = ".jsonl, .json, .csv, .txt or .parquet"

Row = tuple[str, int, Any]  # the place (for messages), its number, and what stands there


def text_of(path: Path) -> str:
    """The text of a file without a byte-order mark, unpacked where it is called .gz.

    Raises:
        InputError: it cannot be read, is no file, not UTF-8, empty, or longer than `MOST_BYTES`.
    """
    data = read_file(path, "The data set", MOST_BYTES)
    if path.suffix.lower() == PACKED:
        data = _unpacked(path, data)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise InputError(f"{path}, line {line}: not UTF-8 text.", "Save it as UTF-8.") from error
    if not text.strip():
        raise InputError(f"{path} is empty.", "Put a prompt into it.")
    return text


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Pack it again.") from error
    if len(unpacked) > MOST_BYTES:
        problem = f"{path} holds more than {size_in_words(MOST_BYTES)}."
        raise InputError(problem, "Give the part of it that is to be answered.")
    return unpacked


def _lines(path: Path, text: str) -> Iterator[tuple[str, int, str]]:
    """Lines that are not blank; split at line feeds alone, since JSON may hold other line ends."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            if len(line) > MOST_CHARACTERS:
                raise too_long(place)
            yield place, number, line


def too_long(place: str) -> InputError:
    """The refusal of a row."""
    problem = f"{place}: longer than {MOST_CHARACTERS >> 20} million characters."
    return InputError(problem, "No model reads a prompt of that length; is it really one line?")


def text_rows(path: Path) -> Iterator[Row]:
    """Each line is a prompt."""
    found = _lines(path, text_of(path))
    return ((place, number, {"prompt": line.strip()}) for place, number, line in found)


def line_rows(path: Path) -> Iterator[Row]:
    """Each line is a JSON object; a file of an array is taken as that."""
    text = text_of(path)
    begun = text.lstrip()
    is_array = begun.startswith("[") and begun[1:].lstrip().startswith("{")
    return _elements(path, text) if is_array else _objects(path, text)


def array_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON array; a file of an object a line is taken as that."""
    text = text_of(path)
    return _objects(path, text) if _is_lines(text) else _elements(path, text)


def _objects(path: Path, text: str) -> Iterator[Row]:
    return ((place, number, parsed(line, path, number)) for place, number, line in _lines(path, text))


def _elements(path: Path, text: str) -> Iterator[Row]:
    values = parsed(text, path, 1)
    if not isinstance(values, list):
        raise InputError(f"{path}, line 1: {kind_of(values)}, not an array of objects.", EXAMPLE)
    return ((f"{path}, item {number}", number, value) for number, value in enumerate(values, 1))


def _is_lines(text: str) -> bool:
    """Whether a text of more than one line begins with an object that ends with its line."""
    begun, _, rest = text.lstrip().partition("\n")
    try:
        return isinstance(json.loads(begun), dict) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def parsed(text: str, path: Path, first_line: int) -> Any:
    """A JSON value that begins on a line.

    Raises:
        InputError: it is none; the line of the fault is named.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = first_line - 1 + getattr(error, "lineno", 1)
        reason = getattr(error, "msg", error)
        raise InputError(f"{path}, line {line}: not valid JSON ({reason}).", EXAMPLE) from error


def table_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file under its first; blank rows, which spreadsheets leave behind, are left out."""
    csv.field_size_limit(MOST_CHARACTERS)
    reader = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    line, header = 1, None
    try:
        for cells in reader:
            place, number, line = f"{path}, line {line}", line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, place)
                continue
            if len(cells) != len(header):
                line = number
                raise csv.Error(f"{len(cells)} cells where the header has {len(header)}")
            yield place, number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        if "field larger" in str(error):
            raise too_long(f"{path}, line {line}") from error
        hint = "Give every row as many cells as the header; put quotes around commas and line breaks."
        raise InputError(f"{path}, line {line}: not valid CSV ({error}).", hint) from error


def _header(cells: list[str], place: str) -> list[str]:
    """The names of a table's columns.

    Raises:
        InputError: a name stands twice, or something else than commas parts them.
    """
    names = [cell.strip() for cell in cells]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise InputError(f"{place}: the column {twice[0]!r} stands twice.", "Give each a name of its own.")
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise InputError(f"{place}: the columns are parted by {called}.", "Save it with commas (CSV).")
    return names


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, by the library `datasets`."""
    records = library_records(str(path), path="parquet", data_files=str(path), split="train", streaming=True)
    return ((f"{path}, row {number}", number, record) for number, record in enumerate(records, 1))


def library_records(called: str, /, **options: object) -> Iterator[Any]:
    """What the library `datasets` loads.

    Args:
        called: what is loaded, for messages.
        options: of `datasets.load_dataset`.

    Raises:
        InputError: the library is not installed, or cannot load it.
    """
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        hint = "Install it: pip install 'specdec-cli[eval]'"
        raise InputError(f"{called} needs the `datasets` library, which is not here.", hint) from error
    try:
        yield from library.load_dataset(**options)
    except Exception as error:  # the library raises what any of its many parts raises
        reason = str(error).partition("\n")[0] or type(error).__name__
        hint = f"A local {FILE_KINDS} file works too."
        raise InputError(f"{called} cannot be read: {reason}", hint) from error


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": line_rows, ".json": array_rows, ".csv": table_rows, ".txt": text_rows, ".parquet": parquet_rows,
}  # fmt: skip
UNPACKED = tuple(kind for kind in READERS if kind != ".parquet")  # may end in .gz besides


def reader_of(path: Path) -> Callable[[Path], Iterator[Row]] | None:
    """What reads a file, by how its name ends; None where nothing does."""
    *inner, kind = ["", *(suffix.lower() for suffix in path.suffixes)]
    if kind == PACKED and inner and inner[-1] in UNPACKED:
        kind = inner[-1]
    return READERS.get(kind)
