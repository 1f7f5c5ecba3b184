"""What a run tells of itself while it goes on: to whoever listens, and to the logger `specdec`.

Whatever takes time is handed a `Report` and tells it what is being done. `log` is the report of those who
were given none: the text goes to the logger alone. What the command line shows on spinners and bars goes
there too, so that `logging.getLogger("specdec")` hears everything, whoever runs it. It stays silent unless it
is asked: by `logging` in a program, by the variable SPECDEC_LOG on the command line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from specdec_cli.errors import InputError
from specdec_cli.redaction import redacted

Report = Callable[[str], None]

LOGGER = logging.getLogger("specdec")
LOGGER.addHandler(logging.NullHandler())
VARIABLE = "SPECDEC_LOG"
FORMAT = "%(asctime)s %(levelname)s %(module)s: %(message)s"
LEVELS = {"info": logging.INFO, "debug": logging.DEBUG, "1": logging.INFO, "true": logging.INFO}
OFF = ("", "0", "false")


def log(text: str, level: int = logging.INFO, *, above: int = 0) -> None:
    """Tell the logger; a report that tells nobody else.

    Args:
        text: what is being done; passwords and tokens in it are hidden.
        level: of `logging`.
        above: how many callers stand between this and who is to be named as the one that tells it.
    """
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", redacted(text), stacklevel=2 + above)


def show_log(wanted: str) -> None:
    """Show the log on stderr from now on, or no more.

    Args:
        wanted: "info", or "debug" for each single run too; empty for nothing.

    Raises:
        InputError: it is something else.
    """
    for handler in [each for each in LOGGER.handlers if isinstance(each, _Shown)]:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(logging.NOTSET)
    name = wanted.strip().lower()
    if name in OFF:
        return
    if name not in LEVELS:
        raise InputError(f"{VARIABLE} cannot be {wanted!r}.", "Write info or debug, or leave it out.")
    shown = _Shown(sys.stderr)
    shown.setFormatter(logging.Formatter(FORMAT))
    LOGGER.addHandler(shown)
    LOGGER.setLevel(LEVELS[name])


def is_shown() -> bool:
    """Whether the log is on stderr, so that what goes there should not be said a second time."""
    return any(isinstance(handler, _Shown) for handler in LOGGER.handlers)


class _Shown(logging.StreamHandler):  # type: ignore[type-arg]
    """What `show_log` adds. It keeps the stream that it began with: loading a model silences sys.stderr."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop what nobody can read any more."""
