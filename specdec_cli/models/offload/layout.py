"""How a layer's bytes lie in a buffer: as in the file, in aligned pieces that can be read directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from specdec_cli.models.offload.places import Place

ALIGNMENT = 4096  # of the disk's blocks and of the memory's pages: what reading past the cache asks for
GAP = 1 << 16  # bytes between two tensors that are rather read than jumped over


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes in one file, aligned at both ends, and where it goes.

    Attributes:
        file: to read.
        start: in the file.
        length: to read; may reach past the end of the file.
        needed: bytes of it that must be there.
        to: where it goes in the buffer.
    """

    file: Path
    start: int
    length: int
    needed: int
    to: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One layer in a buffer.

    Attributes:
        places: of its tensors in the files, by name within the layer.
        extents: what is read.
        offsets: where each tensor begins in the buffer.
        size: bytes of the buffer.
    """

    places: Mapping[str, Place]
    extents: tuple[Extent, ...]
    offsets: Mapping[str, int]
    size: int

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """The tensors in a buffer of bytes, without copying where their alignment allows it."""
        return {name: _view(buffer, self.offsets[name], place) for name, place in self.places.items()}

    @property
    def read_bytes(self) -> int:
        """Bytes that are read for it."""
        return sum(extent.length for extent in self.extents)

    def bytes_as(self, dtype: torch.dtype) -> int:
        """Bytes that its tensors take in that number format."""
        return sum(place.numbers for place in self.places.values()) * dtype.itemsize


def lay_out(places: Mapping[str, Place]) -> Layout:
    """The layout that reads these tensors in as few runs as their places allow."""
    extents: list[Extent] = []
    offsets: dict[str, int] = {}
    run: list[tuple[str, Place]] = []
    size = 0
    for name, place in sorted(places.items(), key=lambda each: (str(each[1].file), each[1].start)):
        if run and (place.file != run[-1][1].file or place.start > run[-1][1].end + GAP):
            size = _close(run, size, extents, offsets)
            run = []
        run.append((name, place))
    if run:
        size = _close(run, size, extents, offsets)
    return Layout(dict(places), tuple(extents), offsets, size)


def _close(run: list[tuple[str, Place]], to: int, extents: list[Extent], offsets: dict[str, int]) -> int:
    """Add an extent that covers the run: where the next one goes."""
    start = run[0][1].start // ALIGNMENT * ALIGNMENT
    end = max(place.end for _, place in run)
    length = -(-(end - start) // ALIGNMENT) * ALIGNMENT
    extents.append(Extent(run[0][1].file, start, length, end - start, to))
    offsets.update({name: to + place.start - start for name, place in run})
    return to + length


def _view(buffer: Tensor, offset: int, place: Place) -> Tensor:
    raw = buffer[offset : offset + place.end - place.start]
    if offset % place.dtype.itemsize:  # a file with an odd header
        raw = raw.clone()
    return raw.view(place.dtype).view(place.shape)
