"""A model whose GGUF file was split: its parts, found by name, checked to belong together, seen as one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from specdec_cli.models.gguf.header import GgufHeader, read_header, unreadable

PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\.gguf)", re.IGNORECASE)
MAX_PARTS = 4096
NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"


def part_paths(path: Path) -> list[Path]:
    """All files of the model that `path` is a file of, by name alone and in order; they may be missing.

    Parts are named as llama.cpp's gguf-split names them, name-00001-of-00003.gguf.
    """
    match = PART.fullmatch(path.name)
    if match is None or not 1 <= int(match["count"]) <= MAX_PARTS:
        return [path]
    stem, count, end = match["stem"], int(match["count"]), match["end"]
    return [path.with_name(f"{stem}-{number:05}-of-{count:05}{end}") for number in range(1, count + 1)]


def read_parts(path: Path) -> GgufHeader:
    """The header of the model that `path` holds or is a part of, with the tensors of all its parts.

    Raises:
        InputError: a part is damaged or missing, or the parts are not of one model.
    """
    first = read_header(path)
    count = _count(first)
    if count == 1:
        return first
    paths = part_paths(path)
    if len(paths) != count:
        hint = f"Name the parts as they were: name-00001-of-{count:05}.gguf and so on, in one folder."
        raise unreadable(path, f"it is one of {count} parts, and its name does not say which", hint)
    missing = [each.name for each in paths if not each.is_file()]
    if missing:
        hint = f"Put all {count} parts into one folder, and give any of them."
        raise unreadable(path, f"it is one of {count} parts, and {missing[0]} is not there", hint)
    headers = [first if each == path else read_header(each) for each in paths]
    for number, header in enumerate(headers):
        _require_part(header, number, headers[0])
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    names = {tensor.name for tensor in tensors}
    promised = headers[0].keys.get(TENSORS, len(tensors))
    if not len(names) == len(tensors) == promised:
        raise unreadable(
            path, f"its parts hold {len(names)} tensors between them, and promise {promised}", _hint(count)
        )
    return GgufHeader(path, headers[0].keys, tensors)


def _count(header: GgufHeader) -> int:
    count = header.keys.get(COUNT, 1)
    if type(count) is not int or not 0 <= count <= MAX_PARTS:
        raise unreadable(header.path, f"{COUNT} is {count!r}")
    return max(count, 1)


def _require_part(header: GgufHeader, number: int, first: GgufHeader) -> None:
    """Later parts may leave the model's keys out; those that they have are the first's."""
    said = header.keys.get(NUMBER)
    if _count(header) != _count(first) or said != number:
        why = f"it is no part {number + 1} of {_count(first)}: {NUMBER} is {said!r}"
        raise unreadable(header.path, why, _hint(_count(first)))
    for key, value in header.keys.items():
        if key != NUMBER and not _same(value, first.keys.get(key)):
            why = f"its {key[:60]} is not that of {first.path.name}, so they are parts of two models"
            raise unreadable(header.path, why, _hint(_count(first)))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other or one != one)


def _hint(count: int) -> str:
    return f"Download all {count} parts of one model into one folder."
