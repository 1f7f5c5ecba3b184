"""Programs run behind each fence that can be tried here: right ones to their end, others stopped."""

import os
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest
from fences import passes, usable

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.evaluation import sandbox
from specdec_cli.evaluation.sandbox import Fence, Limits

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are run on Linux only")


@pytest.mark.parametrize(
    "program",
    [
        "import os; assert os.listdir('.') == [] and 'PATH' not in os.environ",
        "print('x' * 100000)",
        "import math, re, itertools, collections, functools, typing, random, datetime, hashlib",
        "import heapq, statistics, decimal, fractions, json, sys, os, cmath, dataclasses, enum, unittest",
        "from collections import namedtuple; assert namedtuple('P', 'a b')(1, 2).a == 1",
        "if __name__ == '__main__': pass",
    ],
)
def test_a_program_that_minds_its_business_passes(fence: Fence, program: str) -> None:
    assert passes(program, fence)


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(0)",
        "exit(0)",
        "import os; os._exit(0)",
        "import posix; posix._exit(0)",
        "import os; os.abort()",
        "import os; os.write(1, b'ready'); raise ValueError",
        "import sys; f = sys._getframe(1); assert 'password' in f.f_back.f_locals",
        "x = bytearray(4 << 30)",
        "open('/tmp/specdec-escape', 'w')",
        "open('big', 'wb').write(b'0' * (8 << 20))",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.remove('/tmp/specdec-nothing')",
        "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)",
        "import ctypes; ctypes.CDLL(None)",
        "import threading; t = threading.Thread(target=print); t.start()",
        "assert __import__('sys').stdin.read()",
        "import os; os.open('/', os.O_RDONLY)",
        "import os; assert os.listdir('/proc/self/fd') and os.fstat(5)",
    ],
)
def test_a_program_that_reaches_out_does_not_pass(fence: Fence, program: str) -> None:
    assert not passes(program, fence)


def test_files_of_its_own_are_small_and_few_behind_bubblewrap() -> None:
    fence = usable("bubblewrap")
    assert passes("open('own', 'w').write('x'); assert open('own').read() == 'x'", fence)
    many = "for n in range(100):\n    open(f'{n}', 'wb').write(bytes(1 << 20))"
    assert not passes(many, fence)


def test_no_file_at_all_is_written_without_bubblewrap() -> None:
    assert not passes("open('own', 'w')", usable("seccomp"))


def test_a_program_that_goes_on_for_ever_is_stopped(fence: Fence) -> None:
    begun = time.perf_counter()
    assert not passes("while True: pass", fence, Limits(seconds=0.5))
    assert time.perf_counter() - begun < 30


def test_a_sandbox_that_does_not_start_is_an_error_and_no_wrong_answer(fence: Fence) -> None:
    with pytest.raises(SpecdecError, match="The sandbox did not start"):
        passes("pass", fence, Limits(memory=1 << 70))
    broken = Fence(fence.name, fence.before, "/nowhere/child.py")
    with pytest.raises(SpecdecError, match="did not start"):
        passes("pass", broken)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(memory=1 << 70), "--code-memory is"),
        (Limits(seconds=1e300), "--code-seconds is 1e\\+300"),
    ],
)
def test_limits_that_no_right_program_could_meet_are_refused(limits: Limits, said: str) -> None:
    with pytest.raises(SpecdecError, match=said):
        sandbox.require_sandbox(limits)


def test_a_memory_that_no_program_starts_in_is_refused(fence: Fence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "fence", lambda: fence)
    with pytest.raises(SpecdecError, match=r"takes one megabyte|did not start"):
        sandbox.require_sandbox(Limits(memory=1 << 20))


def test_a_memory_above_the_systems_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 30, 1 << 30))
    with pytest.raises(InputError) as refused:
        sandbox.require_sandbox(Limits(memory=2 << 30))
    assert refused.value.problem == "--code-memory is 2048 MB; this system gives a process 1024 MB."


@pytest.mark.parametrize(("user", "fenced"), [(0, False), (1000, True)])
def test_root_needs_bubblewrap_and_others_do_not(
    monkeypatch: pytest.MonkeyPatch, user: int, fenced: bool
) -> None:
    usable("seccomp")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    sandbox.fence.cache_clear()
    try:
        if fenced:
            assert sandbox.fence().name == "seccomp"
        else:
            with pytest.raises(
                SpecdecError, match="not run as root without bubblewrap: bubblewrap is not inst"
            ):
                sandbox.fence()
    finally:
        sandbox.fence.cache_clear()


def test_a_bubblewrap_that_cannot_be_used_is_said_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    sandbox.fence.cache_clear()
    try:
        with pytest.raises(SpecdecError, match="No permissions to create a namespace"):
            sandbox.fence()
    finally:
        sandbox.fence.cache_clear()
