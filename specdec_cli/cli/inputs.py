"""What commands read of what a user gave: a prompt, a data set, names in a list, paths to write to."""

from __future__ import annotations

import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import TYPE_CHECKING

from specdec_cli.errors import InputError
from specdec_cli.storage.names import require_file_name
from specdec_cli.storage.reading import size_in_words

if TYPE_CHECKING:
    from specdec_cli.evaluation.datasets import Item

STDIN = "-"
BYTE_ORDER_MARK = "\ufeff"
LARGEST_PROMPT = 64 << 20  # bytes
CONVERT = "Convert it, with iconv for example."


def read_prompt(prompt: str | None) -> str:
    """The prompt as given, or from standard input.

    Raises:
        InputError: there is none.
    """
    hint = 'Give it as -p "...", or as -p - to read standard input.'
    if prompt is None:
        raise InputError("There is no prompt.", hint)
    text = _standard_input() if prompt == STDIN else prompt.removeprefix(BYTE_ORDER_MARK)
    if not text.strip():
        raise InputError("The prompt is empty.", hint)
    require_text(text)
    return text


def _standard_input() -> str:
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Pipe the prompt in, or give it as -p.")
    data: bytes = sys.stdin.buffer.read(LARGEST_PROMPT + 1)
    if len(data) > LARGEST_PROMPT:
        problem = f"The prompt has more than {size_in_words(LARGEST_PROMPT)}, which no model reads."
        raise InputError(problem, "Shorten it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16 text" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "not UTF-8 text"
        raise InputError(f"The prompt is {found}.", CONVERT) from error
    if "\0" in text:
        raise InputError("The prompt has NUL characters, as UTF-16 text has.", CONVERT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_text(prompt: str) -> None:
    """Check that Python could read every byte of the prompt.

    Raises:
        InputError: it could not, and some are kept as surrogates.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputError("The prompt is not UTF-8 text.", CONVERT) from error


def read_items(dataset: str, count: int | None, start: int, quiet: bool) -> list[Item]:
    """The prompts of a data set by name or file; unless quiet, the first of them is shown."""
    from specdec_cli.evaluation.datasets import introduction, read_dataset
    from specdec_cli.reporting.console import report_line

    items = read_dataset(dataset, count, start)
    if not quiet:
        report_line(introduction(items))
    return items


def names_of(text: str) -> list[str]:
    """The names in a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def log_file(folder: Path, name: str | None) -> Path | None:
    """The log of that name, which may not lie anywhere else.

    Raises:
        InputError: the name is a path, empty, or too long.
    """
    return None if name is None else folder / f"{require_file_name(name, '--exp-name')}.jsonl"


def in_home(output: Path) -> Path:
    """The folder, `~` the home folder as for whoever reads it: shells leave `--output=~/x` as it is.

    Raises:
        InputError: there is no such user.
    """
    try:
        return output.expanduser()
    except RuntimeError as error:
        problem = f"--output {output} cannot be found: there is no such user."
        raise InputError(problem, "Name a folder.") from error
