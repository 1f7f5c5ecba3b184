"""Layers copied from pinned host memory to a GPU, on a stream of their own.

A thread waits until the work that reads a buffer is done, copies the next layer into it, and waits for the
copy: so buffers take turns as for a disk, and the computation never queues behind a copy it does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from specdec_cli.models.hardware import require_memory
from specdec_cli.models.offload.disk import DiskTransport
from specdec_cli.models.offload.layout import Layout
from specdec_cli.models.offload.prefetch import Slot
from specdec_cli.models.offload.throttle import Link


class PinnedTransport:
    """Copies layers from RAM to a GPU; see `prefetch.Transport`.

    Args:
        layouts: of the layers; all of them are read into pinned memory now.
        device: a CUDA device.
        link: of the speed to keep to.

    Attributes:
        how: by what way layers come.

    Raises:
        ResourceError: the layers do not fit in RAM.
    """

    workers = 1
    how = "pinned memory, copy stream"

    def __init__(self, layouts: Mapping[int, Layout], device: torch.device, link: Link) -> None:
        sizes = {layer: layout.size for layer, layout in layouts.items()}
        require_memory(sum(sizes.values()), torch.device("cpu"), "Holding the layers in RAM")
        self._device, self._link, self._largest = device, link, max(sizes.values())
        disk = DiskTransport(layouts, Link(None))
        self._host = {layer: disk.load(layer).pin_memory() for layer in layouts}
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def new_slot(self) -> Slot:
        slot = Slot(torch.empty(self._largest, dtype=torch.uint8, device=self._device))
        self.release(slot)  # its memory may have been another tensor's, which queued work still reads
        return slot

    def pieces(self, layer: int) -> Sequence[int]:
        return (layer,)

    def fill(self, piece: object, slot: Slot) -> int:
        assert isinstance(piece, int)
        if isinstance(slot.mark, torch.cuda.Event):
            slot.mark.synchronize()
        host = self._host[piece]
        end = self._link.reserve(host.numel())
        with torch.cuda.stream(self._copies):
            slot.buffer[: host.numel()].copy_(host, non_blocking=True)
        self._copies.synchronize()
        self._link.until(end)
        return host.numel()

    def release(self, slot: Slot) -> None:
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        slot.mark = event

    def load(self, layer: int) -> Tensor:
        """A layer in a buffer of its own, on the GPU."""
        return self._host[layer].to(self._device)
