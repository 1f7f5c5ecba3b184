"""Loading without transformers' progress bars, notices and warnings."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers and the hub client inside the block; errors are still raised.

    Its GGUF reader has a progress bar that no setting turns off, hence the redirection.
    """
    from huggingface_hub.utils import logging as hub_client_logging
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # neither is annotated
    hub_logging: Any = hub_client_logging
    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """What an exception says, cut to its first sentence's line and without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")
