"""The headers of safetensors files: eight bytes of length, then JSON, every number of it checked."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from specdec_cli.errors import InputError
from specdec_cli.models.hf.small_files import COPY_AGAIN, damaged
from specdec_cli.storage.numbers import Count
from specdec_cli.storage.reading import conform, parse_json

LONGEST = 100_000_000  # bytes of a header: what the format's own reader takes
PREFIX = 8
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
Dimensions = Annotated[tuple[Count, ...], Meta(max_length=16)]


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file.

    Attributes:
        dtype: its number format, a key of `BITS`.
        shape: its shape.
        data_offsets: of its bytes, first and one past the last, from the header's end.
    """

    dtype: str
    shape: Dimensions
    data_offsets: tuple[Count, Count]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        tensors: by name.
        data: where their bytes begin, from the file's beginning.
    """

    tensors: Mapping[str, Stored]
    data: int


def read_header(path: Path, hint: str = COPY_AGAIN) -> Header:
    """A file's header, if all of it is true: every tensor has its bytes, all bytes their tensor.

    Raises:
        InputError: the file cannot be read, is cut short, or its header is damaged.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise damaged(path, "it is no regular file", hint)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(PREFIX), "little")
            if not 0 < length <= size - PREFIX:
                raise damaged(path, "it is cut short or no safetensors file", hint)
            if length > LONGEST:
                raise damaged(
                    path, f"its header has {length:,} bytes, and at most {LONGEST:,} are read", hint
                )
            text = file.read(length)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint) from error
    try:
        tensors = _tensors(text, path, hint)
    except InputError as error:
        raise InputError(error.problem, hint) from error
    _require_filled(path, tensors, size - PREFIX - length, hint)
    return Header(tensors, PREFIX + length)


def _tensors(text: bytes, path: Path, hint: str) -> dict[str, Stored]:
    place = f"{path} is damaged: its header cannot be read"
    try:
        entries = parse_json(text.decode(), dict[str, object], place, hint)
    except UnicodeDecodeError:
        raise damaged(path, "its header cannot be read: it is no text", hint) from None
    entries.pop("__metadata__", None)
    return {name: conform(entry, Stored, f"{place}: {name}", hint) for name, entry in entries.items()}


def _require_filled(path: Path, tensors: Mapping[str, Stored], size: int, hint: str) -> None:
    """Check that the tensors' bytes follow one another, from the header to the file's end."""
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda each: each[1].data_offsets):
        first, last = tensor.data_offsets
        bits = BITS.get(tensor.dtype)
        if bits is None:
            raise damaged(path, f"{name} is of an unknown number format, {tensor.dtype[:20]!r}", hint)
        if last - first != -(-tensor.numbers * bits // 8):
            raise damaged(path, f"{name} has another size than its shape", hint)
        if first != end:
            what = "shares bytes with another tensor" if first < end else "does not follow the tensor before"
            raise damaged(path, f"{name} {what}", hint)
        end = last
    if end != size:
        before = path.stat().st_size - size
        raise damaged(path, f"it has {before + size:,} bytes, its header promises {before + end:,}", hint)
