"""JSON lines that are only ever appended to: what a kill tore is cut off, what else is wrong is an error.

A file may end inside its last line, because the process that wrote it was killed. If what is left there is
the beginning of an object, it counts as nothing, and is cut off before the next line is written. If it is
whole but for the end of the line, it counts, and the end is written. Blank lines are nothing. Any other line
that is no JSON object is an error with its number: nothing is skipped in silence.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from specdec_cli.errors import InputError
from specdec_cli.storage.failures import MORE_ROOM
from specdec_cli.storage.output import Output
from specdec_cli.storage.reading import read_file, size_in_words

REPAIR = "Correct the line, or remove it."
MOST_BYTES = 512 << 20  # of a file, unpacked
LONGEST_LINE = 32 << 20  # bytes


class BinaryStream(Protocol):
    """What lines are read from, unpacked or not."""

    def readline(self, size: int, /) -> bytes:
        """The next line with its end, or so many bytes of it."""
        ...


@dataclass(frozen=True, slots=True)
class Content:
    """What a file of lines holds.

    Attributes:
        lines: the values, each with its number, from 1.
        size: bytes up to the end of the last whole line; what follows was torn.
        is_ended: whether the last whole line has its end.
    """

    lines: list[tuple[int, Any]]
    size: int
    is_ended: bool


class LinesFile(AbstractContextManager["LinesFile"]):
    """A file of JSON lines that is appended to, by one process at a time.

    A block claims the file and repairs its end; without one, each `append` does.

    Args:
        path: of the file; need not exist.
        flag: that names it, for messages.
        make_folders: make the folder that it is in, if need be.
        room: what to do about a full disk, and what is kept.

    Raises:
        InputError: at the beginning of a block: it cannot be written, another process writes it, or a line is
            damaged.
    """

    def __init__(self, path: Path, flag: str, *, make_folders: bool = False, room: str = MORE_ROOM) -> None:
        self.path = path
        self._output = Output(path, flag, make_folders=make_folders, room=room, begin=self._repair)

    def __enter__(self) -> LinesFile:
        self._output.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._output.__exit__()

    def read(self) -> list[tuple[int, Any]]:
        """The values in the file, each with its line; none where there is no file.

        Raises:
            InputError: it cannot be read, or a line is damaged.
        """
        return read_lines(self.path).lines if self.path.exists() else []

    def append(self, value: Mapping[str, object]) -> None:
        """Add a line, to the disk at once, all of it or nothing.

        Raises:
            ResourceError: the disk is full.
            SpecdecError: it cannot be written.
        """
        with self:
            self._output.append(
                (json.dumps(value, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
            )

    def _repair(self) -> None:
        if not self.path.exists():
            return
        found = read_lines(self.path)
        if found.size < self.path.stat().st_size:
            self._output.truncate(found.size)
        if not found.is_ended:
            self._output.append(b"\n")


def read_lines(path: Path) -> Content:
    """The lines of a file.

    Raises:
        InputError: it cannot be read, or a line that no kill tore is no JSON.
    """
    return parse_lines(path, read_file(path, "The file", MOST_BYTES))


def parse_lines(path: Path, content: bytes) -> Content:
    """The lines in some bytes; `path` is for messages.

    Raises:
        InputError: a line that no kill tore is no JSON.
    """
    lines = list(values_in(path, io.BytesIO(content)))
    ended = content.rfind(b"\n") + 1
    is_ended = not lines or lines[-1][0] <= content.count(b"\n")
    return Content(lines, ended if is_ended else len(content), is_ended)


def values_in(path: Path, stream: BinaryStream) -> Iterator[tuple[int, Any]]:
    """The value of each line of a stream, with its number; a torn last line and blank ones give none.

    Args:
        path: for messages.
        stream: lines with their ends, which are line feeds alone, as those of binary files are.

    Raises:
        InputError: a line that no kill tore is no JSON.
    """
    for number, text in enumerate(_bounded(path, stream), 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            if not text.endswith(b"\n") and _is_torn(text):
                return
            what = "UTF-8 text" if isinstance(error, UnicodeDecodeError) else "valid JSON"
            raise InputError(f"{path}, line {number}: not {what}.", REPAIR) from error
        yield number, value


def _bounded(path: Path, stream: BinaryStream) -> Iterator[bytes]:
    """The lines of a stream, none of which is held whole before it is known to be within the limit."""
    size = number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        size, number = size + len(line), number + 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{path}, line {number}: longer than {size_in_words(LONGEST_LINE)}.", REPAIR)
        if size > MOST_BYTES:
            problem = f"{path} holds more than {size_in_words(MOST_BYTES)}."
            raise InputError(problem, "Split it: each part is read by itself.")
        yield line


def _is_torn(tail: bytes) -> bool:
    """Whether a kill, or a power cut that left zeros, can have made a last line of an object what it is."""
    return not tail.strip(b"\0") or tail.startswith(b"{")
