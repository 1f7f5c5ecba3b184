"""The small files of a model, read within limits and held against a schema."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from specdec_cli.errors import InputError
from specdec_cli.storage.reading import parse_json, read_text

Schema = TypeVar("Schema")
LARGEST = 64 << 20  # bytes: the index of a thousand shards has a few
COPY_AGAIN = "Copy or download the model again."


def read_model_json(
    path: Path, schema: type[Schema], hint: str = COPY_AGAIN, said: str = "is damaged"
) -> Schema:
    """What a model's JSON file holds, if its schema describes it.

    Args:
        path: of the file.
        schema: type of what it shall hold, see `storage.reading`.
        hint: what to do about a damaged one.
        said: of a damaged one, before what is wrong.

    Raises:
        InputError: it cannot be read, or is not as the schema says.
    """
    try:
        return parse_json(read_text(path, "The file", LARGEST), schema, f"{path} {said}", hint)
    except InputError as error:
        raise InputError(error.problem, hint) from error


def damaged(path: Path, why: str, hint: str = COPY_AGAIN) -> InputError:
    """The error for a model's file that is not what it should be."""
    return InputError(f"{path} is damaged: {why}.", hint)
