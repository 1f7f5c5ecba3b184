"""A disk that fills up while weights are written, told in one way whoever was writing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from specdec_cli.models.quiet import first_line
from specdec_cli.storage.failures import FULL, MORE_ROOM, explained

NUMBER = re.compile(r"os error (\d+)")


@contextmanager
def writing(what: str, hint: str = MORE_ROOM) -> Iterator[None]:
    """A block that writes files; safetensors and torch do not report a full disk as an OSError.

    Args:
        what: is written, as the beginning of a sentence.
        hint: what to do about a full disk, and what is kept.

    Raises:
        RoomError: the disk filled up.
        SpecdecError: it cannot be written to.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise explained(error, what, hint) from error
    except (SafetensorError, RuntimeError) as error:  # torch's writer raises the latter, and says no reason
        number = NUMBER.search(str(error))
        code = int(number[1]) if number else min(FULL)
        raise explained(
            OSError(code, first_line(error) if number is None else os.strerror(code)), what, hint
        ) from error
