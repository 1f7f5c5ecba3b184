"""Prefetching brings every layer in turn, ahead of its use, and never writes to a buffer in use."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from planting import broken

from specdec_cli.models.offload import prefetch as ring_module
from specdec_cli.models.offload.prefetch import PrefetchBuffer, Slot
from specdec_cli.models.offload.throttle import Link

LAYERS, SIZE, PIECES = 5, 64, 4


class FakeDevice:
    """A device whose buffers are filled piece by piece by other threads, and that keeps a diary."""

    def __init__(self, workers=2, delay=0.0, fails_at=None):
        self.workers, self.delay, self.fails_at = workers, delay, fails_at
        self.begun = []  # layers in the order in which they were begun
        self.busy = set()  # slots that the computation reads
        self.trampled = []
        self.slots = []
        self.permitted = threading.Event()
        self.permitted.set()

    def new_slot(self):
        self.slots.append(Slot(torch.zeros(SIZE, dtype=torch.uint8)))
        return self.slots[-1]

    def pieces(self, layer):
        self.begun.append(layer)
        return [(layer, piece) for piece in range(PIECES)]

    def fill(self, piece, slot):
        self.permitted.wait()
        time.sleep(self.delay)
        layer, part = piece
        if layer == self.fails_at:
            raise OSError(5, "the device is gone")
        if id(slot) in self.busy:
            self.trampled.append(layer)
        size = SIZE // PIECES
        slot.buffer[part * size : (part + 1) * size] = layer
        return size

    def release(self, slot):
        self.busy.discard(id(slot))


def use(prefetch, device, layer, seconds=0.0):
    """What a computation does with a layer: the value that it reads, at the beginning and at the end."""
    loan = prefetch.take(layer)
    slot = loan.slot
    device.busy.add(id(slot))
    before = slot.buffer.clone()
    time.sleep(seconds)
    after = slot.buffer.clone()
    prefetch.give_back(loan)
    return before, after


@pytest.mark.parametrize("slots", [2, 3, LAYERS])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_pass_finds_every_layer_whole(slots, workers):
    device = FakeDevice(workers, delay=0.0002)
    prefetch = PrefetchBuffer(range(LAYERS), slots, device)
    for _ in range(6):
        for layer in range(LAYERS):
            before, after = use(prefetch, device, layer, 0.0003)
            assert torch.equal(before, torch.full((SIZE,), layer, dtype=torch.uint8))
            assert torch.equal(after, before)
    assert device.trampled == []


def test_a_ring_that_gives_buffers_back_too_early_is_caught():
    """The negative control: the same test fails on one that refills a buffer when it is taken."""
    wrong = broken(
        ring_module,
        "        return self._loan\n",
        "        self._loads.popleft()\n        self._send_for_next(load.slot)\n"
        "        self._loads.appendleft(load)\n        return self._loan\n",
    )
    device = FakeDevice(2)
    prefetch = wrong.PrefetchBuffer(range(LAYERS), 2, device)
    slot = prefetch.take(0).slot
    device.busy.add(id(slot))
    time.sleep(0.05)
    assert device.trampled != []


def test_the_first_layers_of_the_next_pass_come_while_nothing_is_asked_for():
    device = FakeDevice()
    prefetch = PrefetchBuffer(range(LAYERS), 3, device)
    for layer in range(LAYERS):
        use(prefetch, device, layer)
    deadline = time.perf_counter() + 5
    while prefetch.traffic.bytes < (LAYERS + 3) * SIZE and time.perf_counter() < deadline:
        time.sleep(0.001)
    assert device.begun == [*range(LAYERS), 0, 1, 2]
    assert prefetch.traffic.bytes == (LAYERS + 3) * SIZE
    waited = prefetch.traffic.wait_seconds
    device.permitted.clear()  # nothing more comes, and nothing more is needed
    for layer in range(3):
        use(prefetch, device, layer)
    device.permitted.set()
    assert prefetch.traffic.wait_seconds - waited < 0.05


def test_no_more_is_begun_than_there_are_buffers():
    device = FakeDevice()
    prefetch = PrefetchBuffer(range(LAYERS), 2, device)
    prefetch.take(0)
    time.sleep(0.02)
    assert device.begun == [0, 1]
    assert len(device.slots) == 2


def test_a_pass_that_was_broken_off_leaves_no_trace():
    device = FakeDevice(delay=0.0002)
    prefetch = PrefetchBuffer(range(LAYERS), 2, device)
    use(prefetch, device, 0)
    prefetch.take(1)  # an exception in the computation: it is never given back
    for layer in range(LAYERS):
        before, _ = use(prefetch, device, layer)
        assert set(before.tolist()) == {layer}
    assert device.trampled == []


@pytest.mark.parametrize("shared", [True, False], ids=["the layer that it held", "a later layer"])
def test_a_pass_that_was_broken_off_and_is_closed_late_gives_nothing_back(shared):
    """A suspended generator keeps its loan until it is collected, in the midst of another pass."""
    device = FakeDevice()
    prefetch = PrefetchBuffer(range(1, LAYERS + 1), 2, device)
    old = prefetch.take(1)
    if not shared:
        prefetch.give_back(prefetch.take(1))
        prefetch.give_back(prefetch.take(2))
    layer = 1 if shared else 3  # in the slot that the old pass had, too
    new = prefetch.take(layer)
    assert new.slot is old.slot
    device.busy.add(id(new.slot))
    prefetch.give_back(old)
    time.sleep(0.02)
    assert set(new.slot.buffer.tolist()) == {layer}
    prefetch.give_back(new)
    prefetch.give_back(new)  # once is enough
    assert set(prefetch.take(layer + 1).slot.buffer.tolist()) == {layer + 1}
    assert device.trampled == []


def test_what_keeps_a_layer_from_coming_is_raised_where_it_is_used():
    device = FakeDevice(fails_at=2)
    prefetch = PrefetchBuffer(range(LAYERS), 2, device)
    use(prefetch, device, 0)
    use(prefetch, device, 1)
    for _ in range(2):
        with pytest.raises(OSError, match="the device is gone"):
            prefetch.take(2)


def test_a_layer_that_is_not_streamed_is_not_waited_for():
    with pytest.raises(KeyError):
        PrefetchBuffer([2, 3], 2, FakeDevice()).take(0)


def test_one_buffer_is_no_ring():
    with pytest.raises(ValueError, match="two slots"):
        PrefetchBuffer(range(3), 1, FakeDevice())


def test_traffic_counts_bytes_layers_and_the_time_that_was_waited():
    device = FakeDevice(workers=1, delay=0.005)
    prefetch = PrefetchBuffer(range(LAYERS), 2, device)
    before = prefetch.traffic
    for layer in range(LAYERS):
        use(prefetch, device, layer)
    found = prefetch.traffic.since(before)
    assert found.layers == LAYERS
    assert found.bytes >= (LAYERS - 2) * SIZE
    assert found.wait_seconds >= (LAYERS - 2) * PIECES * 0.005 * 0.9  # nothing else was done meanwhile
    assert found.busy_seconds >= found.wait_seconds * 0.9


def test_the_threads_end_with_the_ring():
    before = set(threading.enumerate())
    prefetch = PrefetchBuffer(range(LAYERS), 2, FakeDevice(workers=3))
    started = set(threading.enumerate()) - before
    assert len(started) == 3
    del prefetch
    gc.collect()
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)


def test_a_program_that_ends_while_layers_come_ends_well():
    """A thread that is left in native code when the interpreter goes would abort the process."""
    program = (
        "import sys, threading, time, torch; sys.path.insert(0, sys.argv[1])\n"
        "from test_prefetch import FakeDevice, PrefetchBuffer\n"
        "prefetch = PrefetchBuffer(range(5), 2, FakeDevice(workers=3, delay=0.05))\n"
        "prefetch.take(0)\n"
    )
    paths = [str(Path(__file__).parents[3]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_link_takes_at_least_the_bytes_over_its_speed_and_saves_nothing_up():
    link = Link(0.001)  # a megabyte a second
    begun = time.perf_counter()
    for _ in range(2):
        link.until(link.reserve(10_000))
    assert time.perf_counter() - begun >= 0.02
    time.sleep(0.05)
    begun = time.perf_counter()
    link.until(link.reserve(20_000))
    assert time.perf_counter() - begun >= 0.0199
    assert link.simulated


def test_a_link_without_a_speed_holds_nothing_back():
    link = Link(None)
    begun = time.perf_counter()
    link.until(link.reserve(1 << 40))
    assert time.perf_counter() - begun < 1
    assert not link.simulated
