"""A model's decoder layers, some of them in memory and the others streamed through a few buffers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.models.offload.layout import Layout
from specdec_cli.models.offload.prefetch import PrefetchBuffer, Traffic, Transport

Tensors = Mapping[str, Tensor]
ALIGNED = 64  # bytes of a cache line: where converted tensors begin


class Source(Transport, Protocol):
    """A transport that can also bring a layer to stay."""

    how: str

    def load(self, layer: int) -> Tensor:
        """A layer in a buffer of its own."""
        ...


class LayerStream:
    """Hands out the tensors of one layer at a time, in the order in which a pass uses them.

    Args:
        layouts: of every layer, by its number.
        source: brings layers.
        dtype: number format to compute in; what is stored in another is converted when it is used.
        resident: so many layers, the first ones, stay in memory.
        slots: buffers to stream through.

    Attributes:
        layouts: as given.
        source: as given.
        resident: how many layers stay.
        dtype: as given.
    """

    def __init__(
        self, layouts: Mapping[int, Layout], source: Source, dtype: torch.dtype, resident: int, slots: int
    ) -> None:
        self.layouts, self.source, self.dtype, self.resident = layouts, source, dtype, resident
        self._kept = {layer: self._keep(layer) for layer in range(resident)}
        streamed = range(resident, len(layouts))
        slots = min(slots, max(2, len(streamed)))
        self._prefetch = PrefetchBuffer(streamed, slots, source) if streamed else None
        self._staging: Tensor | None = None

    @property
    def traffic(self) -> Traffic:
        """What was streamed so far."""
        return self._prefetch.traffic if self._prefetch is not None else Traffic()

    @property
    def pass_bytes(self) -> int:
        """Bytes that every pass streams."""
        return sum(self.layouts[layer].read_bytes for layer in range(self.resident, len(self.layouts)))

    def read_through(self, passes: int = 2) -> Traffic:
        """Stream without computing, as fast as it goes: what came, and in `busy_seconds` the time it took."""
        if self._prefetch is None:
            return Traffic()
        before, begun = self.traffic, 0.0
        for number in range(passes + 1):
            if number == 1:  # the first pass leaves the buffers as every later one does
                before, begun = self.traffic, time.perf_counter()
            for layer in range(self.resident, len(self.layouts)):
                self._prefetch.give_back(self._prefetch.take(layer))
        seconds = time.perf_counter() - begun
        return replace(self.traffic.since(before), busy_seconds=seconds)

    @contextmanager
    def use(self, layer: int) -> Iterator[Tensors]:
        """A layer's tensors by their names in it, valid inside the block.

        Raises:
            SpecdecError: the layer could not be read.
        """
        if layer in self._kept:
            yield self._kept[layer]
            return
        assert self._prefetch is not None
        layout = self.layouts[layer]
        loan = self._prefetch.take(layer)
        if layout.is_plain(self.dtype):
            try:
                yield dict(layout.weights(loan.slot.buffer))
            finally:
                self._prefetch.give_back(loan)
            return
        try:
            converted = self._convert(layout, loan.slot.buffer)
        finally:
            self._prefetch.give_back(loan)
        yield converted

    def _keep(self, layer: int) -> Tensors:
        layout, buffer = self.layouts[layer], self.source.load(layer)
        if layout.is_plain(self.dtype):
            return dict(layout.weights(buffer))
        size = staging_bytes(layout, self.dtype)
        return _converted(layout, buffer, buffer.new_empty(size), self.dtype)

    def _convert(self, layout: Layout, buffer: Tensor) -> Tensors:
        """Into one staging area that all layers share: a layer is used up before the next one is taken."""
        if self._staging is None:
            size = max(staging_bytes(layout, self.dtype) for layout in self.layouts.values())
            self._staging = buffer.new_empty(size)
        return _converted(layout, buffer, self._staging, self.dtype)


def staging_bytes(layout: Layout, dtype: torch.dtype) -> int:
    """Bytes that a layer's weights take in that format, each on a cache line of its own."""
    return sum(map(_rounded_up, layout.bytes_of(dtype).values()))


def _converted(layout: Layout, buffer: Tensor, room: Tensor, dtype: torch.dtype) -> Tensors:
    found, offset = {}, 0
    for name, tensor in layout.weights(buffer):
        wanted = layout.dtype_of(name, dtype)
        size = tensor.numel() * wanted.itemsize
        found[name] = room[offset : offset + size].view(wanted).view(tensor.shape).copy_(tensor)
        offset += _rounded_up(size)
    return found


def _rounded_up(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
