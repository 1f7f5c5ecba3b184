"""SIGTERM and SIGHUP are heeded as Ctrl-C is: what is begun is written, children end, the code says which."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specdec_cli.cli import interrupts
from specdec_cli.storage.locks import Lock

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# A program that is met by a signal while it writes an output, holds its lock and waits for an installer.
WRITING = """
import os, sys
from pathlib import Path
import specdec_cli.cli.presets as presets
from specdec_cli.cli.app import main
from specdec_cli.processes.leash import run_leashed
from specdec_cli.storage.atomic import replacing
from specdec_cli.storage.output import Output

folder = Path(sys.argv[1])
script = "sleep 300 & echo $! > child; echo $$ > parent; mv child ready; wait"

def busy(*_, **__):
    with Output(folder / "x.jsonl") as output, replacing(folder / "y") as part:
        output.append(b"{}\\n")
        part.write_text("half")
        os.chdir(folder)
        run_leashed(["sh", "-c", script], os.environ)

presets.load_settings = busy
sys.argv = ["specdec", "presets", "show", "creative"]
main()
"""


@pytest.fixture(autouse=True)
def heard():
    """Signals as a terminal's programs have them: under nohup a hang-up is ignored, by children too."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and only not waited for by the system yet


def wait_for(what, seconds=20.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def running(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        wait_for((tmp_path / "ready").exists)
        yield run
        run.kill()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_ends_the_program_its_children_and_its_temporary_files(running, tmp_path, number):
    running.send_signal(number)
    assert running.wait(20) == CODES[number]
    assert running.communicate() == ("", "")
    children = [int((tmp_path / name).read_text()) for name in ("ready", "parent")]
    wait_for(lambda: not any(map(alive, children)))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["parent", "ready", "x.jsonl"]


def test_children_end_with_a_program_that_is_killed(running, tmp_path):
    children = [int((tmp_path / name).read_text()) for name in ("ready", "parent")]
    assert all(map(alive, children))
    running.kill()
    running.wait(20)
    wait_for(lambda: not any(map(alive, children)))


@pytest.mark.parametrize("number", CODES)
def test_a_signal_that_comes_twice_breaks_off_no_clean_up(number):
    ended = []
    with interrupts.remembered():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)  # as `timeout` does, to the process and to its group
            ended.append(True)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert ended == [True]
    assert interrupts.exit_code() == CODES[number]


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.remembered():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not interrupts.seen()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_held_is_finished_before_a_signal_takes_effect():
    done = []
    with interrupts.remembered():
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(True)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert done == [True]


def test_a_signal_ends_the_wait_for_a_lock(tmp_path):
    lock = Lock(tmp_path / "lock")
    script = f"""
from pathlib import Path
from specdec_cli.cli import interrupts
from specdec_cli.storage.locks import waited_for
with interrupts.remembered():
    try:
        waited_for(Path({str(tmp_path / "lock")!r}), lambda: print("waits", flush=True))
    except KeyboardInterrupt:
        raise SystemExit(interrupts.exit_code())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "waits\n"
        time.sleep(0.1)
        run.terminate()
        assert run.wait(20) == 143
    lock.release()
