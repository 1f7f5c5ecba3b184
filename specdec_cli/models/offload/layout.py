"""How a layer's bytes lie in a buffer: as in the file, in aligned pieces that can be read directly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from specdec_cli.models.offload.tensor_index import TensorLocation

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
class Merge:
    """Weights that a layer has in another form than the files: the experts of a mixture, stored one by one.

    Attributes:
        pieces: keys of the tensors that they are made of.
        shapes: of the weights that they become, by name within the layer.
        make: the weights from the tensors.
    """

    pieces: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    make: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One layer in a buffer.

    Attributes:
        locations: of its tensors in the files, by name within the layer; pieces of a merge by their
            names in the checkpoint.
        extents: what is read.
        offsets: where each tensor begins in the buffer.
        size: bytes of the buffer.
        merges: what is made of several tensors, or is stored in another form.
        kept: number formats of weights that have one of their own, by name within the layer.
    """

    locations: Mapping[str, TensorLocation]
    extents: tuple[Extent, ...]
    offsets: Mapping[str, int]
    size: int
    merges: tuple[Merge, ...] = ()
    kept: Mapping[str, torch.dtype] = field(default_factory=dict)

    def weights(self, buffer: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The weights in a buffer of bytes, copied only where they are merged or lie unaligned."""
        views = {name: _view(buffer, self.offsets[name], at) for name, at in self.locations.items()}
        pieces = {piece for merge in self.merges for piece in merge.pieces}
        yield from ((name, view) for name, view in views.items() if name not in pieces)
        for merge in self.merges:
            yield from merge.make({piece: views[piece] for piece in merge.pieces}).items()

    def is_plain(self, dtype: torch.dtype) -> bool:
        """Whether its weights can be used as they lie in the file where `dtype` is computed in."""
        return not self.merges and all(
            location.dtype == self.dtype_of(name, dtype) for name, location in self.locations.items()
        )

    def dtype_of(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """The number format of a weight where the others are of `dtype`."""
        return self.kept.get(name, dtype)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its weights, by name within the layer."""
        pieces = {piece for merge in self.merges for piece in merge.pieces}
        plain = {name: location.shape for name, location in self.locations.items() if name not in pieces}
        return plain | {name: shape for merge in self.merges for name, shape in merge.shapes.items()}

    @property
    def read_bytes(self) -> int:
        """Bytes that are read for it."""
        return sum(extent.length for extent in self.extents)

    @property
    def merging_bytes(self) -> int:
        """Bytes that merging takes for a while beside what is read: parts, and their whole."""
        return max(
            (2 * sum(_size(self.locations[piece]) for piece in merge.pieces) for merge in self.merges),
            default=0,
        )

    def bytes_of(self, dtype: torch.dtype) -> dict[str, int]:
        """Bytes that each of its weights takes where `dtype` is computed in."""
        return {
            name: math.prod(shape) * self.dtype_of(name, dtype).itemsize
            for name, shape in self.shapes.items()
        }

    def bytes_as(self, dtype: torch.dtype) -> int:
        """Bytes that its weights take where `dtype` is computed in."""
        return sum(self.bytes_of(dtype).values())


def lay_out(
    locations: Mapping[str, TensorLocation],
    merges: tuple[Merge, ...] = (),
    kept: Mapping[str, torch.dtype] | None = None,
) -> Layout:
    """The layout that reads these tensors in as few runs as their locations allow."""
    extents: list[Extent] = []
    offsets: dict[str, int] = {}
    run: list[tuple[str, TensorLocation]] = []
    size = 0
    for name, location in sorted(locations.items(), key=lambda each: (str(each[1].file), each[1].start)):
        if run and (location.file != run[-1][1].file or location.start > run[-1][1].end + GAP):
            size = _close(run, size, extents, offsets)
            run = []
        run.append((name, location))
    if run:
        size = _close(run, size, extents, offsets)
    return Layout(dict(locations), tuple(extents), offsets, size, merges, dict(kept or {}))


def _close(
    run: list[tuple[str, TensorLocation]], to: int, extents: list[Extent], offsets: dict[str, int]
) -> int:
    """Add an extent that covers the run: where the next one goes."""
    start = run[0][1].start // ALIGNMENT * ALIGNMENT
    end = max(location.end for _, location in run)
    length = -(-(end - start) // ALIGNMENT) * ALIGNMENT
    extents.append(Extent(run[0][1].file, start, length, end - start, to))
    offsets.update({name: to + location.start - start for name, location in run})
    return to + length


def _size(location: TensorLocation) -> int:
    return location.end - location.start


def _view(buffer: Tensor, offset: int, location: TensorLocation) -> Tensor:
    raw = buffer[offset : offset + _size(location)]
    if offset % location.dtype.itemsize:  # a file with an odd header
        raw = raw.clone()
    return raw.view(location.dtype).view(location.shape)
