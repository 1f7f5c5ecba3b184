"""Runs the program in a forked child: its exit code, what it printed, its time and its memory.

The parent has torch and the program imported already, so that a run costs little more than its own work, and
what a run does to its process (a crash, a limit, a signal) is that process's end only.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGESIZE")
MOST_SECONDS = 10
MOST_MEMORY = 1 << 30  # bytes beyond what the parent has
PATIENCE = 45.0  # seconds by the clock, of a machine that others use too
ADDRESSES = 6 << 30  # bytes of address space beyond the parent's: enough to see an excess, not to harm others
ESCAPED, UNPREPARED = 99, 98
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
OWN_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_COLOR": "1",
    "COLUMNS": "160",
    "SPECDEC_THREADS": "1",
    "SPECDEC_DTYPE": "float32",
    "PIP_NO_INDEX": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
}


@dataclass(frozen=True)
class Run:
    """A command line, with what it meets.

    Attributes:
        arguments: after the program's name.
        stdin: bytes of its standard input.
        environment: variables beyond the usual ones.
    """

    arguments: tuple[str, ...]
    stdin: bytes = b""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: exit code, or less the number of the signal that ended it.
        out: what it printed.
        err: what it said.
        seconds: of processor time, its own children included.
        memory: bytes at its peak beyond what it began with.
        hung: it was ended after `PATIENCE` seconds.
    """

    code: int
    out: str
    err: str
    seconds: float
    memory: int
    hung: bool


@dataclass
class Child:
    """A forked child that has not ended yet."""

    process: int
    folder: Path
    began: float


def start(folder: Path, prepare: Callable[[], Run]) -> Child:
    """Fork a child that prepares a run in the folder `folder/work`, and runs it.

    Args:
        folder: new; its `out`, `err` and `run` say later what happened.
        prepare: writes the inputs into the current folder, and gives the run.
    """
    (folder / "work").mkdir(parents=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    process = os.fork()
    if process == 0:
        try:
            code = _child(folder, prepare)
        except BaseException:
            with suppress(OSError):
                (folder / "err").open("a").write(traceback.format_exc())
            code = UNPREPARED
        os._exit(code)
    return Child(process, folder, time.monotonic())


def finish(child: Child) -> Ended | None:
    """How a child ended; None while it runs. One that runs too long is ended."""
    hung = time.monotonic() - child.began > PATIENCE
    if hung:
        _end(child.process)
    found, status, used = os.wait4(child.process, 0 if hung else os.WNOHANG)
    if not found:
        return None
    _end(child.process)  # what it started and left behind
    return Ended(
        code=os.waitstatus_to_exitcode(status),
        out=_text(child.folder / "out"),
        err=_text(child.folder / "err"),
        seconds=used.ru_utime + used.ru_stime,
        memory=max(0, used.ru_maxrss * 1024 - int(_text(child.folder / "taken") or 0)),
        hung=hung,
    )


def _child(folder: Path, prepare: Callable[[], Run]) -> int:
    os.setsid()
    os.chdir(folder / "work")
    run = prepare()
    (folder / "run").write_text(repr(run), encoding="utf-8", errors="backslashreplace")
    (folder / "in").write_bytes(run.stdin)
    _redirect(folder)
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    cache = {"SPECDEC_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hub")}
    os.environ.clear()
    os.environ.update(kept | OWN_VARIABLES | cache | dict(run.environment))
    _limit()
    (folder / "taken").write_text(
        str(_resident())
    )  # of the parent's, what a child does not share is new to it
    sys.argv = ["specdec", *run.arguments]
    return _main()


def _main() -> int:
    from specdec_cli.cli.app import main

    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = ESCAPED
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code


def _redirect(folder: Path) -> None:
    for number, name in enumerate(("in", "out", "err")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = os.open(folder / name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115


def _limit() -> None:
    """Leave the machine to others: what wants more time or memory than any run may take is stopped."""
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + 2 * MOST_SECONDS, used + 2 * MOST_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _end(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_bytes()[: 1 << 20].decode(errors="replace")
    return ""
