"""A process for the trial of each architecture, which may hang or crash."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.architecture_table import CRASH, SLOW, Row

Trial = Callable[[str, Sequence[str]], Iterator[Row]]


def in_its_own_process(trial: Trial, name: str, columns: Sequence[str], seconds: float) -> Row:
    """Try an architecture where it can neither hang nor take this process with it."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(there, trial, name, columns))
    child.start()
    there.close()
    row, deadline = Row(name), time.monotonic() + seconds
    with contextlib.suppress(EOFError):
        while here.poll(max(deadline - time.monotonic(), 0)):
            row = here.recv()
    if time.monotonic() >= deadline:
        child.kill()
        row.add(_next(row, columns), SLOW, f"more than {seconds:.0f} s")
    child.join()
    if child.exitcode and not row.faults:
        row.add(_next(row, columns), CRASH, f"the process ended with {child.exitcode}")
    return row


def _send(there: Any, trial: Trial, name: str, columns: Sequence[str]) -> None:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        for row in trial(name, columns):
            there.send(row)


def _next(row: Row, columns: Sequence[str]) -> str:
    return next((column for column in columns if column not in row.verdicts), columns[-1])
