"""Layers read from a checkpoint's files, past the page cache.

A model that does not fit in memory gains nothing from the page cache, which would only push other things out;
and what was measured with it would be the memory's speed, not the disk's. So files are read with O_DIRECT. On
file systems without it (tmpfs) they are read as usual and what was read is dropped from the cache at once.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specdec_cli.errors import SpecdecError
from specdec_cli.models.offload.layout import ALIGNMENT, Extent, Layout
from specdec_cli.models.offload.prefetch import Slot
from specdec_cli.models.offload.throttle import Link

CHUNK = 4 << 20
READERS = 2
DIRECT, DROPPED = "O_DIRECT", "posix_fadvise(DONTNEED)"


@dataclass(frozen=True, slots=True)
class _Chunk:
    extent: Extent
    start: int

    @property
    def length(self) -> int:
        return min(CHUNK, self.extent.length - self.start)

    @property
    def needed(self) -> int:
        return min(self.length, self.extent.needed - self.start)


class DiskTransport:
    """Reads layers; see `prefetch.Transport`.

    Args:
        layouts: of the layers that may be asked for.
        link: of the speed to keep to.

    Attributes:
        how: in what way the page cache is kept out: `DIRECT` or `DROPPED`.
    """

    workers = READERS

    def __init__(self, layouts: Mapping[int, Layout], link: Link) -> None:
        self._layouts = layouts
        self._link = link
        files = {extent.file for layout in layouts.values() for extent in layout.extents}
        self._opened, self.how = _open(sorted(files))
        weakref.finalize(self, _close, tuple(self._opened.values()))

    def new_slot(self) -> Slot:
        return Slot(aligned_buffer(max(layout.size for layout in self._layouts.values())))

    def pieces(self, layer: int) -> Sequence[_Chunk]:
        extents = self._layouts[layer].extents
        return [_Chunk(extent, start) for extent in extents for start in range(0, extent.length, CHUNK)]

    def fill(self, piece: object, slot: Slot) -> int:
        assert isinstance(piece, _Chunk)
        end = self._link.reserve(piece.length)
        to = piece.extent.to + piece.start
        self._read(piece, _bytes_of(slot.buffer)[to : to + piece.length])
        self._link.until(end)
        return piece.length

    def release(self, slot: Slot) -> None:
        """Nothing: on a CPU, work that was asked for is done."""

    def load(self, layer: int) -> Tensor:
        """A layer in a buffer of its own."""
        buffer = Slot(aligned_buffer(self._layouts[layer].size))
        for piece in self.pieces(layer):
            self.fill(piece, buffer)
        return buffer.buffer

    def _read(self, piece: _Chunk, buffer: memoryview) -> None:
        opened, offset, done = self._opened[piece.extent.file], piece.extent.start + piece.start, 0
        try:
            while done < piece.needed:
                count = os.preadv(opened, [buffer[done:]], offset + done)
                done += count
                if count == 0 or (count % ALIGNMENT and done < piece.needed):
                    break
            if self.how == DROPPED:
                os.posix_fadvise(opened, offset, piece.length, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            hint = "Check the disk; copy or download the model again."
            problem = f"{piece.extent.file} could not be read: {error.strerror}."
            raise SpecdecError(problem, hint) from error
        if done < piece.needed:
            hint = "Do not change a model's files while it runs; copy or download it again."
            raise SpecdecError(f"{piece.extent.file} became shorter while it was read.", hint)


def aligned_buffer(size: int) -> Tensor:
    """Bytes on pages of their own, in large pages where the system has them."""
    memory = mmap.mmap(-1, max(size, ALIGNMENT))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)[:size]


def _bytes_of(buffer: Tensor) -> memoryview:
    array: Any = buffer.numpy()  # its type does not say that it is a buffer
    return memoryview(array)


def _open(files: Iterable[Path]) -> tuple[dict[Path, int], str]:
    """File descriptors, all of them for direct reading or none."""
    files = list(files)
    direct = getattr(os, "O_DIRECT", None)
    opened: dict[Path, int] = {}
    if direct is not None:
        probe = memoryview(mmap.mmap(-1, ALIGNMENT))
        try:
            for file in files:
                opened[file] = os.open(file, os.O_RDONLY | direct)
                os.preadv(opened[file], [probe], 0)
            return opened, DIRECT
        except OSError:
            _close(tuple(opened.values()))
    if not hasattr(os, "posix_fadvise") or not hasattr(os, "preadv"):
        hint = "Run on Linux, or leave out --offload."
        raise SpecdecError("This system has no way to read files past its cache.", hint)
    opened = {file: os.open(file, os.O_RDONLY) for file in files}
    for descriptor in opened.values():
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return opened, DROPPED


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
