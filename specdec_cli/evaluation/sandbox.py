"""Runs a program that a model wrote, behind the best fence that this system has.

Where bubblewrap can be used, it is the fence: namespaces of its own, no network, a read-only view of Python
and the system's libraries, and a small memory disk to write to. Else, and for users other than root only, the
kernel refuses the process what makes or changes files, processes and connections. `sandbox_child.py` is what
runs inside.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from specdec_cli.errors import InputError, SpecdecError

try:
    import resource
except ImportError:  # a system on which no program is run: `require_sandbox` says so
    resource = None  # type: ignore[assignment]

CHILD = Path(__file__).with_name("sandbox_child.py")
READY = b"ready\n"
START_SECONDS = 60.0  # to begin in, however busy the machine is; they are not the program's
MOST_SECONDS = 86_400.0
DISK = 16 << 20  # bytes of the memory disk
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
          "/nix/store", "/gnu/store")  # fmt: skip
NOBODY = "65534"
SMALL = "bytes(1 << 20)"  # asks the system for memory, as one that does nothing may not need to
REASON = 2000  # bytes of what a sandbox says against itself


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: of time on the clock, from when it begins.
        memory: bytes of address space.
    """

    seconds: float = 10.0
    memory: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Fence:
    """How a program is kept in.

    Attributes:
        name: "bubblewrap" or "seccomp".
        before: the command that starts Python inside; empty where Python fences itself.
        child: where `sandbox_child.py` stands, as seen from inside.
    """

    name: str
    before: tuple[str, ...]
    child: str


def require_sandbox(limits: Limits | None = None) -> Fence:
    """Check that this system can run programs in safety, by running a small one under those limits.

    Raises:
        InputError: the system cannot give, or a program cannot live with, those limits.
        SpecdecError: there is no fence that holds.
    """
    limits = limits or Limits()
    if not sys.platform.startswith("linux"):
        problem = f"Programs can be run in safety on Linux only, not on {sys.platform}."
        raise SpecdecError(problem, "Leave humaneval out, or run the command in a container.")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    if limits.memory > most:
        problem = f"--code-memory is {limits.memory >> 20} MB; this system gives a process {most >> 20} MB."
        raise InputError(problem, f"Give --code-memory {most >> 20} or less.")
    if limits.seconds > MOST_SECONDS:
        problem = f"--code-seconds is {limits.seconds:g}; a program gets {MOST_SECONDS:g} at most."
        raise InputError(problem, "Give 10, which every test of HumanEval ends in.")
    found = fence()
    if not _run(SMALL, limits, found):
        problem = f"A program that takes one megabyte does not end within {limits.seconds:g} s and "
        raise InputError(f"{problem}{limits.memory >> 20} MB.", "Raise --code-seconds or --code-memory.")
    return found


def runs_to_its_end(program: str, limits: Limits | None = None) -> bool:
    """Whether a Python program ends by itself: without an exception, without `exit`, within the limits.

    Raises:
        SpecdecError: it could not be begun; that is no fault of the program's.
    """
    return _run(program, limits or Limits(), fence())


@cache
def fence() -> Fence:
    """The best fence that works here, found by a trial.

    Raises:
        SpecdecError: there is none; as root only bubblewrap is one.
    """
    found = shutil.which("bwrap")
    reason = "bubblewrap is not installed"
    if found is not None:
        wrapped = Fence("bubblewrap", _bubblewrap(found), "/answer/sandbox_child.py")
        try:
            _run("pass", Limits(), wrapped)
            return wrapped
        except SpecdecError as error:
            reason = f"bubblewrap cannot be used ({error.problem})"
    if os.geteuid() == 0:
        problem = f"Programs of a model are not run as root without bubblewrap: {reason}."
        hint = "Install it (apt-get install bubblewrap; 0.8 or newer), or run as another user than root."
        raise SpecdecError(problem, hint)
    alone = Fence("seccomp", (), str(CHILD))
    try:
        _run("pass", Limits(), alone)
    except SpecdecError as error:
        problem = f"This system cannot run programs in safety: {reason}; without it: {error.problem}"
        raise SpecdecError(problem, "Install bubblewrap (0.8 or newer), or leave humaneval out.") from error
    return alone


def _bubblewrap(program: str) -> tuple[str, ...]:
    python = Path(sys.executable).resolve()
    seen = dict.fromkeys((*SYSTEM, sys.base_prefix, sys.base_exec_prefix, str(python.parent)))
    view = [part for path in seen for part in ("--ro-bind-try", path, path)]
    return (
        program, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", NOBODY, "--gid", NOBODY,
        "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv", *view,
        "--ro-bind", str(CHILD), "/answer/sandbox_child.py", "--proc", "/proc", "--dev", "/dev",
        "--size", str(DISK), "--tmpfs", "/tmp", "--dir", "/tmp/answer", "--chdir", "/tmp/answer",
        "--remount-ro", "/dev", "--remount-ro", "/", "--",
    )  # fmt: skip


def _run(program: str, limits: Limits, behind: Fence) -> bool:
    python = str(Path(sys.executable).resolve())
    bounds = (str(limits.memory), str(int(limits.seconds) + 1), behind.name)
    with _started([*behind.before, python, "-I", "-S", behind.child, *bounds]) as process:
        with suppress(OSError):  # it ended before it read; what it said comes below
            process.stdin.write(json.dumps(program).encode())  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
        said = _until_ready(process)
        if said is not None:
            raise SpecdecError(
                f"The sandbox did not start: {said}", "Run again with --debug, or in a container."
            )
        try:
            return process.wait(limits.seconds) == 0
        except subprocess.TimeoutExpired:
            return False


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in an empty folder, without an environment; it is gone at the end."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryDirectory(prefix="specdec-") as folder:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env={}, bufsize=0
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]


def _until_ready(process: subprocess.Popen[bytes]) -> str | None:
    """Wait until the process is fenced in; else the reason that it is not."""
    until = time.monotonic() + START_SECONDS
    out, said = process.stdout.fileno(), b""  # type: ignore[union-attr]
    while not said.endswith(READY):
        if not select.select([out], [], [], max(0.0, until - time.monotonic()))[0]:
            return f"it took longer than {START_SECONDS:g} s."
        piece = os.read(out, len(READY))
        if not piece:
            process.wait()
            words = os.read(process.stderr.fileno(), REASON).decode(errors="replace")  # type: ignore[union-attr]
            return words.strip().rpartition("\n")[2] or f"it ended with status {process.returncode}."
        said += piece
    return None
