"""A leashed program says what it said, and ends with whoever started it, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from specdec_cli.processes import leash
from specdec_cli.processes.leash import run_leashed

PATIENCE = 10.0  # seconds for a process to end
RUN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test in the background inherits ignored
from specdec_cli.processes.leash import run_leashed
run_leashed(sys.argv[1:], os.environ)
"""


def alive(process: int) -> bool:
    """Whether it runs: what ended and was not yet asked for its code does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def comes_true(claim) -> bool:
    end = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def told(file: Path) -> int:
    """The number that a program writes into a file once it runs."""
    assert comes_true(lambda: file.is_file() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_both_outputs_and_the_exit_code_are_the_programs_own():
    done = run_leashed(["sh", "-c", "echo one; echo two >&2; exit 7"], os.environ)
    assert (done.stdout, done.stderr, done.returncode) == ("one\n", "two\n", 7)


def test_it_sees_the_variables_that_it_is_given_and_no_others():
    done = run_leashed([sys.executable, "-S", "-c", "import os; print(os.environ['ONE'])"], {"ONE": "1"})
    assert done.stdout == "1\n"
    done = run_leashed(["/bin/sh", "-c", 'echo "$HOME"'], {})
    assert done.stdout == "\n"


def test_output_that_is_no_text_is_no_error():
    done = run_leashed([sys.executable, "-c", "import os; os.write(1, bytes([255, 65]))"], os.environ)
    assert done.stdout == "\ufffdA"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_what_it_started_when_the_process_that_waits_for_it_ends(tmp_path, number):
    script = f"sleep 60 & echo $! > {tmp_path}/grandchild; echo $$ > {tmp_path}/child; wait"
    parent = subprocess.Popen([sys.executable, "-c", RUN, "sh", "-c", script], stderr=subprocess.DEVNULL)
    started = [told(tmp_path / name) for name in ("grandchild", "child")]
    assert all(map(alive, started))
    parent.send_signal(number)
    parent.wait(PATIENCE)
    assert comes_true(lambda: not any(map(alive, started)))


def test_an_error_while_it_runs_ends_it_too(tmp_path, monkeypatch):
    def interrupted(child):
        told(tmp_path / "child")
        raise KeyboardInterrupt

    monkeypatch.setattr(leash, "_both", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_leashed(["sh", "-c", f"echo $$ > {tmp_path}/child; exec sleep 60"], os.environ)
    assert comes_true(lambda: not alive(told(tmp_path / "child")))
