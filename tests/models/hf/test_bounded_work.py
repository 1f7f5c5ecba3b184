"""The limits hold, are told in one line, and are gone afterwards."""

import resource
import signal
import sys
import threading
import time

import pytest

from specdec_cli.errors import InputError
from specdec_cli.models.hf.bounded_work import bounded

MEGABYTE = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited on Linux")


def endless():
    while True:
        pass


def limits():
    return resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)


def test_what_stays_within_the_limits_is_left_alone():
    before = limits()
    with bounded("Counting", "", seconds=60, memory=64 * MEGABYTE):
        total = sum(range(1000))
    assert total == 499_500
    assert limits() == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_loop_without_end_is_ended():
    before = limits()
    with (
        pytest.raises(InputError, match=r"Counting takes longer than 0\.05 seconds") as refused,
        bounded("Counting", "Count less.", seconds=0.05, memory=64 * MEGABYTE),
    ):
        endless()
    assert refused.value.hint == "Count less."
    assert limits() == before


@linux_only
def test_memory_beyond_the_limit_is_refused_and_can_be_had_again_afterwards():
    before = limits()
    with (
        pytest.raises(InputError, match="Filling wants more than 32 MiB"),
        bounded("Filling", "", seconds=60, memory=32 * MEGABYTE),
    ):
        bytearray(256 * MEGABYTE)
    assert limits() == before
    assert len(bytearray(64 * MEGABYTE)) == 64 * MEGABYTE


def test_an_error_of_the_work_itself_comes_through():
    before = limits()
    with pytest.raises(KeyError), bounded("Looking", "", seconds=60, memory=64 * MEGABYTE):
        raise KeyError
    assert limits() == before


def test_an_alarm_that_was_set_before_goes_on():
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with bounded("Waiting", "", seconds=60, memory=64 * MEGABYTE):
            pass
        deadline = time.monotonic() + 30
        while not rung and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert rung


def test_another_thread_than_the_main_one_runs_without_an_alarm():
    done = []

    def work():
        with bounded("Counting", "", seconds=60, memory=64 * MEGABYTE):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
