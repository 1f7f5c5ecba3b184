"""The header of a GGUF file: its keys and its table of tensors, every length checked against the file.

The format is ggml's: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Readers of other libraries
trust the lengths that a file states; a damaged file then takes a minute, gigabytes, or gives half a tensor.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from specdec_cli.errors import InputError

MAX_HEADER_BYTES = 256 << 20  # the largest seen are of 30 MB: vocabularies, merges, a copy of tokenizer.json
MAX_STRING_BYTES = 128 << 20
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17
MAX_ENTRIES = 1 << 22  # of all arrays: a vocabulary of 262,144 has four lists, 1.5 million entries in all
MAX_DIMENSIONS = 4
VERSIONS = (2, 3)
HINT = "Check that the file is whole; download or convert it again."

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor of a file.

    Attributes:
        name: as ggml has it, such as "blk.0.attn_q.weight".
        shape: sizes as torch has them, the last one contiguous.
        kind: number of the ggml type.
        path: the file that holds it.
        begin: byte in that file at which it starts.
        size: its bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    path: Path
    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What one file says of itself.

    Attributes:
        path: the file.
        keys: every key with its value; arrays are lists.
        tensors: in the file's order.
    """

    path: Path
    keys: dict[str, Any]
    tensors: tuple[GgufTensor, ...]


def unreadable(path: Path, why: str, hint: str = HINT) -> InputError:
    """The error for a file that is damaged, or of a model that cannot be read."""
    return InputError(f"{path} cannot be read as a GGUF model: {why}.", hint)


def read_header(path: Path) -> GgufHeader:
    """The header of the file at `path`; no tensor is read.

    Raises:
        InputError: not a GGUF file, cut short, or with lengths that it cannot hold.
    """
    if not path.is_file():
        raise unreadable(path, "it is no regular file", "Give the path of a .gguf file.")
    size = path.stat().st_size
    if size < 24:
        raise unreadable(path, f"it has {size} bytes, less than the shortest header")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Reader(path, data, size).read()


class _Reader:
    """A position in a mapped file that never passes its end."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0
        self.entries = 0

    def read(self) -> GgufHeader:
        if self.take(4) != b"GGUF":
            raise self.damaged("it does not begin with the letters GGUF")
        version = self.scalar("I")
        if version not in VERSIONS:
            big = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            known = "big-endian numbers" if big else f"version {version} of the format"
            raise self.damaged(f"it has {known}, and only little-endian versions 2 and 3 are read")
        tensors, count = self.scalar("Q"), self.scalar("Q")
        self.bounded(count, MAX_KEYS, 13, "keys")
        self.bounded(tensors, MAX_TENSORS, 32, "tensors")
        keys: dict[str, Any] = {}
        for _ in range(count):
            key = self.string("a key")
            if key in keys:
                raise self.damaged(f"the key {key[:60]} stands in it twice")
            keys[key] = self.value(self.scalar("I"), key)
        return GgufHeader(self.path, keys, self.table(tensors, keys))

    def table(self, count: int, keys: dict[str, Any]) -> tuple[GgufTensor, ...]:
        alignment = keys.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.damaged(f"general.alignment is {alignment!r}, no power of two")
        rows = [self.row() for _ in range(count)]
        start = -(-self.at // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        end = 0
        for name, shape, kind, offset in sorted(rows, key=lambda row: row[3]):
            size = self.tensor_bytes(name, shape, kind)
            if name in tensors:
                raise self.damaged(f"the tensor {name} stands in it twice")
            if offset < end or offset % alignment:
                raise self.damaged(f"the tensor {name} lies at byte {offset} of the data, on top of another")
            end = offset + size
            if start + end > self.size:
                raise self.damaged(f"it ends before its tensor {name}, which needs {size:,} bytes")
            tensors[name] = GgufTensor(name, shape, kind, self.path, start + offset, size)
        return tuple(tensors[row[0]] for row in rows)

    def row(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.string("a tensor's name")
        dimensions = self.scalar("I")
        if dimensions > MAX_DIMENSIONS:
            raise self.damaged(f"the tensor {name[:60]} has {dimensions} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(dimensions))
        return name, shape[::-1], self.scalar("I"), self.scalar("Q")

    def tensor_bytes(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            hint = "Use a file of another quantisation, such as Q8_0 or Q4_K_M."
            raise unreadable(self.path, f"the tensor {name} is of the unknown type {kind}", hint) from None
        if not shape or 0 in shape or shape[-1] % block:
            raise self.damaged(f"the tensor {name} has the sizes {list(shape)}")
        return prod(shape) // block * block_bytes

    def value(self, kind: int, key: str) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string(key)
        if kind != _ARRAY:
            raise self.damaged(f"{key[:60]} is of the unknown type {kind}")
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner in _SCALARS:
            code = "<" + _SCALARS[inner]
            size = struct.calcsize(code)
            self.bounded(self.entries + count, MAX_ENTRIES, 0, f"entries up to {key[:60]}")
            self.entries += count
            return np.frombuffer(self.take(count * size), np.dtype(code)).tolist()
        if inner != _STRING:
            raise self.damaged(f"{key[:60]} is an array of type {inner}")
        self.bounded(self.entries + count, MAX_ENTRIES, 0, f"entries up to {key[:60]}")
        self.bounded(count, MAX_ENTRIES, 8, f"entries in {key[:60]}")
        self.entries += count
        return [self.string(key) for _ in range(count)]

    def string(self, what: str) -> str:
        length = self.scalar("Q")
        if length > min(MAX_STRING_BYTES, self.size - self.at):
            raise self.damaged(f"{what[:60]} would be {length:,} bytes long")
        return self.take(length).decode("utf-8", errors="replace")

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > self.size:
            raise self.damaged("it ends within its header")
        if end > MAX_HEADER_BYTES:
            raise self.damaged(f"its header is longer than {MAX_HEADER_BYTES:,} bytes")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def bounded(self, count: int, most: int, least_bytes: int, what: str) -> None:
        if count > most or count * least_bytes > self.size - self.at:
            raise self.damaged(f"its header promises {count:,} {what}, more than it can hold")

    def damaged(self, why: str) -> InputError:
        return unreadable(self.path, why)
