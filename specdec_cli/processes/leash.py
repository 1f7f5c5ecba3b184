"""Programs that end when this one does, with all that they started: installers and compilers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

CHILD = Path(__file__).with_name("leash_child.py")


def run_leashed(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a group of processes of its own; if this process ends before, so do they.

    A signal to this process ends the group at once. Where this process is killed, the system closes the pipe
    that it holds, and the child that reads from it ends the group.

    Args:
        command: the program and its arguments.
        environment: variables.

    Returns:
        What it wrote to its two outputs, and its exit code.
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), *command],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            out, err = _both(child)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(list(command), child.wait(), out, err)


def _both(child: subprocess.Popen[str]) -> tuple[str, str]:
    leash, child.stdin = child.stdin, None  # or communicate() would close the pipe that says that we live
    try:
        return child.communicate()
    finally:
        if leash is not None:
            leash.close()
