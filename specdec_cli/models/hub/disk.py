"""A disk that fills up while weights are written, told in one way whoever was writing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from specdec_cli.errors import ResourceError
from specdec_cli.models.hf.quiet import first_line
from specdec_cli.storage import failures
from specdec_cli.storage.failures import MORE_ROOM

NUMBER = re.compile(r"os error (\d+)")


@contextmanager
def writing(what: str, hint: str = MORE_ROOM) -> Iterator[None]:
    """As `storage.failures.writing`, for writers that do not report a full disk as an OSError.

    safetensors says the system's reason in words of its own, torch none: then it is taken for the usual one.

    Args:
        what: is written, as the beginning of a sentence.
        hint: what to do about a full disk, and what is kept.

    Raises:
        ResourceError: the disk filled up.
        SpecdecError: it cannot be written to.
    """
    from safetensors import SafetensorError

    with failures.writing(what, hint):
        try:
            yield
        except (SafetensorError, RuntimeError) as error:  # torch's writer raises the latter
            number = NUMBER.search(str(error))
            if number is None:
                raise ResourceError(f"{what} could not be written: {first_line(error)}.", hint) from error
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
