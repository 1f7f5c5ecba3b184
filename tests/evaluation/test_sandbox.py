"""The fence around generated programs holds against harmless probes, each fence that can be tried here."""

import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.evaluation import sandbox
from specdec_cli.evaluation.sandbox import Fence, Limits

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are run on Linux only")

QUICK = Limits(seconds=20.0)


def bubblewrap() -> Fence | None:
    found = shutil.which("bwrap")
    return (
        None if found is None else Fence("bubblewrap", sandbox._bubblewrap(found), "/answer/sandbox_child.py")
    )


def usable(name: str, child: Path = sandbox.CHILD) -> Fence:
    """A fence, or a skip where this system cannot make it."""
    found = bubblewrap() if name == "bubblewrap" else Fence("seccomp", (), str(child))
    if found is None:
        pytest.skip("bubblewrap is not installed")
    try:
        sandbox._run("pass", QUICK, found)
    except SpecdecError as error:
        pytest.skip(f"{name} cannot be used here: {error.problem}")
    return found


@pytest.fixture(scope="module", params=["bubblewrap", "seccomp"])
def fence(request: pytest.FixtureRequest) -> Fence:
    return usable(request.param)


@pytest.fixture
def bare(
    request: pytest.FixtureRequest, fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Fence:
    """The fence without Python's own part, which a cunning program might get around."""
    text = sandbox.CHILD.read_text(encoding="utf-8").replace("    watch(os.getcwd())\n", "")
    child = tmp_path / "bare_child.py"
    child.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sandbox, "CHILD", child)
    return usable(fence.name, child)


def passes(program: str, fence: Fence, limits: Limits = QUICK) -> bool:
    return sandbox._run(program, limits, fence)


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


# Ways to change a folder, each tried in one of its own that holds the file `old`.
OUTSIDE = {
    "write": "open(f'{here}/new', 'w').write('x')",
    "append": "open(f'{here}/old', 'a').write('x')",
    "truncate": "os.truncate(f'{here}/old', 0)",
    "file by descriptor": "os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=os.open(here, os.O_RDONLY))",
    "folder by descriptor": "os.mkdir('new', dir_fd=os.open(here, os.O_RDONLY))",
    "database": "import sqlite3; sqlite3.connect(f'{here}/new').execute('create table a (b)')",
    "fifo": "os.mkfifo(f'{here}/new')",
    "node": "os.mknod(f'{here}/new', 0o100644)",
    "link": "os.symlink('/', f'{here}/new')",
    "hard link": "os.link(f'{here}/old', f'{here}/new')",
    "rename": "os.rename(f'{here}/old', f'{here}/new')",
    "remove": "os.remove(f'{here}/old')",
    "times": "os.utime(f'{here}/old', (1, 1))",
    "rights": "os.chmod(f'{here}/old', 0o640)",
    "shell": "os.system(f'touch {here}/new')",
    "spawn": "os.waitpid(os.posix_spawn('/usr/bin/touch', ['touch', f'{here}/new'], {}), 0)",
    "fork": "os.fork() or os.execv('/usr/bin/touch', ['touch', f'{here}/new'])",
}


def attempts(outside: Path) -> str:
    """A program that tries every way, whatever becomes of the others."""
    tries = [f"import os, time\noutside = {str(outside)!r}"]
    for way, code in OUTSIDE.items():
        tries.append(f"try:\n    here = outside + '/{way}'\n    {code}\nexcept Exception:\n    pass")
    return "\n".join([*tries, "time.sleep(0.3)"])


def changed(outside: Path) -> set[str]:
    """The ways that changed their folder."""
    found = set()
    for folder in outside.iterdir():
        old = folder / "old"
        is_kept = [path.name for path in folder.iterdir()] == ["old"] and old.read_text() == "kept"
        if not is_kept or (old.stat().st_mtime, stat.S_IMODE(old.stat().st_mode)) != (1000, 0o600):
            found.add(folder.name)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    for way in OUTSIDE:
        old = tmp_path / "outside" / way / "old"
        old.parent.mkdir(parents=True)
        old.write_text("kept")
        old.chmod(0o600)
        os.utime(old, (1000, 1000))
    return tmp_path / "outside"


def test_nothing_outside_is_made_or_changed_even_without_pythons_own_guard(
    bare: Fence, outside: Path
) -> None:
    passes(attempts(outside), bare)
    assert changed(outside) == set()


def test_the_probes_change_what_they_can_reach(outside: Path) -> None:
    subprocess.run([sys.executable, "-c", attempts(outside)], check=True)
    assert changed(outside) == set(OUTSIDE)


def test_the_environment_of_the_program_that_asked_cannot_be_read(
    fence: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import glob\nfound = b''\n"
        "for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n        found += open(path, 'rb').read()\n    except OSError:\n        pass\n"
        "assert b'PATH=' in found"
    )
    assert not passes(program, fence)


# Ways to change another process of the same user.
REACHING = {
    "signal": "os.kill(pid, 15)",
    "priority": "os.setpriority(os.PRIO_PROCESS, pid, 7)",
    "processors": "os.sched_setaffinity(pid, [min(os.sched_getaffinity(0))])",
    "scheduler": "os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))",
    "limits": "import resource; resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))",
}


def state_of(process: subprocess.Popen[bytes]) -> dict[str, object]:
    pid = process.pid
    ended = process.poll() is not None
    return {"signal": ended} if ended else {
        "signal": ended,
        "priority": os.getpriority(os.PRIO_PROCESS, pid),
        "processors": os.sched_getaffinity(pid),
        "scheduler": os.sched_getscheduler(pid),
        "limits": resource.prlimit(pid, resource.RLIMIT_NOFILE),
    }  # fmt: skip


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("way", REACHING)
def test_another_process_is_not_reached_even_without_pythons_own_guard(
    bare: Fence, neighbour: subprocess.Popen[bytes], way: str
) -> None:
    before = state_of(neighbour)
    assert not passes(f"import os; pid = {neighbour.pid}; {REACHING[way]}", bare)
    assert state_of(neighbour) == before


@pytest.mark.parametrize("way", REACHING)
def test_the_ways_to_reach_a_process_work_without_a_fence(
    neighbour: subprocess.Popen[bytes], way: str
) -> None:
    before = state_of(neighbour)
    program = f"import os; pid = {neighbour.pid}; {REACHING[way]}"
    subprocess.run([sys.executable, "-c", program], check=True)
    if way == "signal":
        neighbour.wait(20)
    if way != "processors" or len(os.sched_getaffinity(0)) > 1:
        assert state_of(neighbour) != before


def test_no_connection_arrives_even_without_pythons_own_guard(bare: Fence) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        arrived = threading.Event()

        def wait() -> None:
            try:
                server.accept()
                arrived.set()
            except TimeoutError:
                pass

        waiting = threading.Thread(target=wait)
        waiting.start()
        port = server.getsockname()[1]
        assert not passes(f"import _socket as socket; socket.socket().connect(('127.0.0.1', {port}))", bare)
        waiting.join()
    assert not arrived.is_set()


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
