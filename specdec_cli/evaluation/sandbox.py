"""Runs a program that a model wrote: another process, an empty folder, limits of time and memory, no network.

It holds back programs that are wrong, greedy or careless. It is no prison for one written to break out: for
such, run the whole command in a container or a virtual machine.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from specdec_cli.errors import SpecdecError

CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: of time on the clock.
        memory: bytes of address space.
    """

    seconds: float = 10.0
    memory: int = 1 << 30


def require_sandbox() -> None:
    """Check that this system can limit a process.

    Raises:
        SpecdecError: it cannot.
    """
    if not sys.platform.startswith("linux"):
        problem = f"Programs can be run in safety on Linux only, not on {sys.platform}."
        raise SpecdecError(problem, "Leave humaneval out, or run the command in a container.")


def runs_to_its_end(program: str, limits: Limits | None = None) -> bool:
    """Whether a Python program ends by itself: without an exception, without `exit`, within the limits."""
    limits = limits or Limits()
    password = secrets.token_hex(16)
    command = [sys.executable, "-I", "-S", str(CHILD), str(limits.memory), str(int(limits.seconds) + 1)]
    with tempfile.TemporaryDirectory(prefix="specdec-") as folder:
        try:
            done = subprocess.run(
                command,
                input=json.dumps({"program": program, "password": password}).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={},
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.stdout == password.encode()
