"""A disk that fills up while weights are written, told in one way whoever was writing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from specdec_cli.errors import RoomError, SpecdecError
from specdec_cli.models.quiet import first_line

ELSEWHERE = "Free some space, or name a folder on a larger disk."


@contextmanager
def writing(what: str, hint: str = ELSEWHERE) -> Iterator[None]:
    """A block that writes files; safetensors and torch do not report a full disk as an OSError.

    Args:
        what: is written, as the beginning of a sentence.
        hint: what to do about a full disk.

    Raises:
        RoomError: the disk filled up.
        SpecdecError: it cannot be written to.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        problem = f"{what} could not be written: {first_line(error)}."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RoomError(problem, hint) from error
        raise SpecdecError(problem, "Name a folder that can be written to.") from error
    except (SafetensorError, RuntimeError) as error:  # torch's writer raises the latter
        raise RoomError(f"{what} could not be written: {first_line(error)}.", hint) from error
