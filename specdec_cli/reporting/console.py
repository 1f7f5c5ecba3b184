"""Where output goes: results to stdout; errors, warnings and progress to stderr.

Text of the user's is never read as markup. Consoles are made for each call, so that they see the streams,
NO_COLOR and the window as they are now.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.status import Status
from rich.text import Text

from specdec_cli.errors import SpecdecError
from specdec_cli.progress import is_shown, log
from specdec_cli.redaction import redacted


class Activity(Protocol):
    """What `status` yields."""

    def update(self, text: str) -> None:
        """Say what is being done now."""


class _Spinner:
    def __init__(self, status: Status) -> None:
        self._status = status

    def update(self, text: str) -> None:
        log(text, above=1)
        self._status.update(Text(redacted(text)))


class _NoSpinner:
    def update(self, text: str) -> None:
        log(text, above=1)


def out() -> Console:
    """The console for results."""
    return Console(markup=False, highlight=False, emoji=False)


def err() -> Console:
    """The console for everything that is not the result."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Print a result as JSON, on lines that are never wrapped."""
    out().out(json.dumps(value, indent=2, ensure_ascii=False), highlight=False)


def report_error(error: SpecdecError) -> None:
    """Print the problem and the hint, a line each."""
    _line("Error: ", "bold red", error.problem)
    _line("Hint:  ", "bold", error.hint)


def report_warning(text: str) -> None:
    """Print something that does not stop the program and that the user should know."""
    _line("Warning: ", "bold yellow", text)


def report_line(text: str) -> None:
    """Print a line of news that is not the result; where the log is shown, as a line of it."""
    log(text, above=1)
    if not is_shown():
        err().print(Text(redacted(text), style="dim"), soft_wrap=True)


def progress_lines_enabled(quiet: bool) -> bool:
    """Whether spinners and bars show what is going on.

    On a terminal, not when told to be quiet, not with CI set, and not where the log is shown: its lines would
    be written across them.
    """
    return not quiet and not os.environ.get("CI") and not is_shown() and err().is_terminal


@contextmanager
def status(message: str, quiet: bool = False) -> Iterator[Activity]:
    """A spinner with a message that may change, where progress is wanted; the log is told anyway."""
    log(message, above=2)  # past the context manager's own frame
    if not progress_lines_enabled(quiet):
        yield _NoSpinner()
        return
    # A stream of its own: loading silences sys.stderr, which other consoles look up at each line.
    with Console(file=sys.stderr, emoji=False).status(Text(message)) as spinner:
        yield _Spinner(spinner)


def _line(label: str, style: str, text: str) -> None:
    one_line = " ".join(redacted(text).split("\n"))
    err().print(Text.assemble((label, style), one_line), soft_wrap=True)
