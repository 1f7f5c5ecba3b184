"""What the system says when a file cannot be written or memory ends, as errors that a user can put right."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specdec_cli.errors import ResourceError, SpecdecError

# The disk, the user's share of it, or a file's limit.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MORE_ROOM = "Free some space, or name a folder on a larger disk."
ANOTHER = "Name a folder that can be written to."
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")  # as torch says it


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no more room for a file."""
    return isinstance(error, OSError) and error.errno in FULL


def explained(error: OSError, what: str | Path, room: str = MORE_ROOM) -> SpecdecError:
    """The error for something that could not be written.

    Args:
        error: what the system said.
        what: was being written, as the beginning of a sentence.
        room: what to do about a full disk, and what is kept.
    """
    problem = f"{what} could not be written: {reason(error)}."
    return ResourceError(problem, room) if is_full(error) else SpecdecError(problem, ANOTHER)


def reason(error: OSError) -> str:
    """What the system said, in its own words and without numbers."""
    said = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    return said.partition("\n")[0].rstrip(".")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no more memory."""
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(words in said for words in NO_MEMORY)


def out_of_memory(what: str) -> ResourceError:
    """The error for something that memory ran out for; `what` is the beginning of a sentence."""
    hint = "Choose a smaller model, context or batch, or end other programs."
    return ResourceError(f"{what}: there is not enough memory.", hint)


@contextmanager
def writing(what: str | Path, room: str = MORE_ROOM) -> Iterator[None]:
    """A block that writes files.

    Args:
        what: is written, as the beginning of a sentence.
        room: what to do about a full disk, and what is kept.

    Raises:
        ResourceError: the disk filled up.
        SpecdecError: it cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise explained(error, what, room) from error
