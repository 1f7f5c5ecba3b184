"""Nothing outside the fence is changed, read or reached, even where Python's own guard is got around."""

import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fences import passes

from specdec_cli.evaluation.sandbox import Fence

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are run on Linux only")

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
