"""Buffers that take turns: layers come in the order of use, ahead of the computation and across passes.

What brings a layer is a `Transport`; it works in threads of its own, so that reading, copying and computing
go on at once. A buffer is filled again only after the layer in it was given back.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Protocol

from torch import Tensor

PATIENCE = 10.0  # seconds for a thread to end at the end of the program


@dataclass(slots=True, eq=False)
class Slot:
    """A buffer that layers take turns in.

    Attributes:
        buffer: bytes.
        mark: the transport's own note on when the buffer may be written to.
    """

    buffer: Tensor
    mark: object = None


class Transport(Protocol):
    """Brings layers into slots."""

    workers: int

    def new_slot(self) -> Slot:
        """A slot that any of the layers fits in."""
        ...

    def pieces(self, layer: int) -> Sequence[object]:
        """The parts of a layer that are brought one by one, in any order, by any thread."""
        ...

    def fill(self, piece: object, slot: Slot) -> int:
        """Bring a part, and return when it is there: its bytes."""
        ...

    def release(self, slot: Slot) -> None:
        """Note that all work that reads the slot was asked for."""
        ...


@dataclass(slots=True, eq=False)
class Loan:
    """A layer that was taken: by it one knows who gives it back, since slots and layers come again.

    Attributes:
        slot: that holds the layer.
    """

    slot: Slot


@dataclass(slots=True)
class Traffic:
    """What was brought so far.

    Attributes:
        bytes: in all.
        layers: that were taken out of the buffers.
        busy_seconds: during which something was on its way.
        wait_seconds: during which the computation stood still for it.
    """

    bytes: int = 0
    layers: int = 0
    busy_seconds: float = 0.0
    wait_seconds: float = 0.0

    def since(self, earlier: Traffic) -> Traffic:
        """What came after an earlier reading."""
        return Traffic(
            self.bytes - earlier.bytes,
            self.layers - earlier.layers,
            self.busy_seconds - earlier.busy_seconds,
            self.wait_seconds - earlier.wait_seconds,
        )


@dataclass(slots=True, eq=False)
class _Load:
    layer: int
    slot: Slot
    pending: int
    error: BaseException | None = None


@dataclass(slots=True)
class _Shared:
    """What a prefetch buffer and its threads share; the threads hold no reference to the buffer itself."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    traffic: Traffic = field(default_factory=Traffic)
    flying: int = 0
    busy_since: float = 0.0
    ended: bool = False


_Jobs = SimpleQueue[tuple[object, _Load] | None]
_CREWS: weakref.WeakSet[_Crew] = weakref.WeakSet()


class _Crew:
    """The threads of a prefetch buffer: without a reference to it, they end with it or with the program."""

    def __init__(self, transport: Transport) -> None:
        self.jobs: _Jobs = SimpleQueue()
        self.shared = _Shared()
        work = (self.jobs, transport, self.shared)
        self._threads = [
            threading.Thread(target=_work, args=work, daemon=True) for _ in range(transport.workers)
        ]
        for thread in self._threads:
            thread.start()
        _CREWS.add(self)

    def dismiss(self) -> None:
        """Let the threads end after what they are at; what is queued is left undone."""
        self.shared.ended = True
        for _ in self._threads:
            self.jobs.put(None)

    def join(self) -> None:
        """Wait for the threads to end."""
        for thread in self._threads:
            thread.join(PATIENCE)


@atexit.register
def _dismiss_all() -> None:
    """End all threads before the interpreter does: one that wakes up in native code later would abort it."""
    crews = list(_CREWS)
    for crew in crews:
        crew.dismiss()
    for crew in crews:
        crew.join()


class PrefetchBuffer:
    """Layers in the order of use, over and over.

    Args:
        order: the streamed layers, as every pass uses them.
        slots: buffers; at least 2, so that one is filled while the other is used.
        transport: what fills them.
    """

    def __init__(self, order: Sequence[int], slots: int, transport: Transport) -> None:
        if slots < 2:
            raise ValueError("a prefetch buffer needs two slots or more")
        self._order = list(order)
        self._next = 0
        self._transport = transport
        crew = _Crew(transport)
        self._shared, self._jobs = crew.shared, crew.jobs
        self._loads: deque[_Load] = deque()
        self._loan: Loan | None = None
        weakref.finalize(self, crew.dismiss)
        for _ in range(slots):
            self._send_for_next(transport.new_slot())

    @property
    def traffic(self) -> Traffic:
        """What was brought so far: a copy, with what is on its way counted up to now."""
        with self._shared.changed:
            now = replace(self._shared.traffic)
            if self._shared.flying:
                now.busy_seconds += time.perf_counter() - self._shared.busy_since
        return now

    def take(self, layer: int) -> Loan:
        """The layer, once it is there; its slot holds it until `give_back`, or until another one is taken.

        Raises:
            BaseException: what kept the transport from bringing it.
        """
        while self._loads[0].layer != layer:  # an earlier pass was broken off
            if layer not in self._order:
                raise KeyError(layer)
            self._wait(self._loads[0])
            self._turn()
        load = self._loads[0]
        waited = self._wait(load)
        with self._shared.changed:
            self._shared.traffic.wait_seconds += waited
            self._shared.traffic.layers += 1
        if load.error is not None:
            raise load.error
        self._loan = Loan(load.slot)
        return self._loan

    def give_back(self, loan: Loan) -> None:
        """The layer taken last is no longer needed: fill its slot with the layer that is next in turn.

        Nothing happens for any other loan: a pass that was broken off may be closed during a later one.
        """
        if loan is self._loan:
            self._turn()

    def _turn(self) -> None:
        self._loan = None
        slot = self._loads.popleft().slot
        self._transport.release(slot)
        self._send_for_next(slot)

    def _send_for_next(self, slot: Slot) -> None:
        layer = self._order[self._next]
        self._next = (self._next + 1) % len(self._order)
        pieces = self._transport.pieces(layer)
        load = _Load(layer, slot, len(pieces))
        self._loads.append(load)
        for piece in pieces:
            self._jobs.put((piece, load))

    def _wait(self, load: _Load) -> float:
        """Wait until nothing of a load is on its way any more: the seconds it took."""
        begun = time.perf_counter()
        with self._shared.changed:
            self._shared.changed.wait_for(lambda: load.pending == 0)
        return time.perf_counter() - begun


def _work(jobs: _Jobs, transport: Transport, shared: _Shared) -> None:
    while (job := jobs.get()) is not None and not shared.ended:
        piece, load = job
        with shared.changed:
            if shared.flying == 0:
                shared.busy_since = time.perf_counter()
            shared.flying += 1
        brought, error = 0, None
        try:
            brought = transport.fill(piece, load.slot)
        except BaseException as raised:  # raised again where the layer is taken
            error = raised
        with shared.changed:
            shared.flying -= 1
            if shared.flying == 0:
                shared.traffic.busy_seconds += time.perf_counter() - shared.busy_since
            shared.traffic.bytes += brought
            load.error = load.error or error
            load.pending -= 1
            shared.changed.notify_all()
