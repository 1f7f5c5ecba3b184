"""Files that people give: regular ones, within a limit, decoded, and held against a declared schema.

A schema is a type that msgspec understands: a dataclass, a Struct, `dict[str, float]`. It says which keys
there must be and what they hold; what a file holds beyond it is left out.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

from specdec_cli.errors import InputError

Schema = TypeVar("Schema")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SHOWN = 120
MISSING = re.compile(r"^object missing required field (.*)$")
PLACE = re.compile(r" - at `(key in )?\$\.?([^`]*)`$")


def size_in_words(count: int) -> str:
    """Bytes as people say them: 64 MiB, 2 KiB, 100 bytes."""
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits:
            return f"{count / (1 << bits):.4g} {unit}"
    return f"{count} bytes"


def read_file(path: Path, what: str, limit: int) -> bytes:
    """All bytes of a regular file.

    Args:
        path: of the file; `~` is the home folder.
        what: it is, for messages: "The preset".
        limit: bytes that it may have.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger than the limit.
    """
    try:
        path = expanded(path)
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, what, error) from error
    try:
        _require_regular(os.fstat(descriptor).st_mode, path, what)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    finally:
        os.close(descriptor)
    if len(content) > limit:
        problem = f"{what} {_named(path)} has more than {size_in_words(limit)}."
        raise InputError(problem, f"At most {size_in_words(limit)} are read: give a smaller file.")
    return content


def expanded(path: Path | str) -> Path:
    """A path with `~` resolved.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        problem = f"The home folder in {_named(Path(path))} is not known."
        raise InputError(problem, "Write the path out, from / on.") from error


def existing_file(path: Path, what: str, hint: str) -> Path:
    """The path of a file that is there, its `~` resolved.

    Args:
        path: as given.
        what: it is, for messages: "The trace".
        hint: what to do if there is none.

    Raises:
        InputError: there is none, or it is no regular file.
    """
    try:
        found = expanded(path)
        mode = os.stat(found).st_mode
    except FileNotFoundError:
        raise InputError(f"There is no file {_named(path)}.", hint) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, what, error) from error
    _require_regular(mode, path, what)
    return found


def read_text(path: Path, what: str, limit: int) -> str:
    """The text of a regular file in UTF-8, without a byte-order mark; see `read_file`.

    Raises:
        InputError: it cannot be read, is too large, or is no UTF-8.
    """
    content = read_file(path, what, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16 text" if content.startswith(UTF_16) else "not UTF-8 text"
        raise InputError(f"{what} {_named(path)} is {found}.", "Save it as UTF-8.") from error


def is_text(text: str) -> bool:
    """Whether a text can be written down: JSON can spell halves of characters, which are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path, schema: type[Schema], what: str, limit: int, hint: str) -> Schema:
    """The content of a regular JSON file that its schema describes; see `read_file`.

    Raises:
        InputError: it cannot be read, is too large, is no JSON, or is not as the schema says.
    """
    return parse_json(read_text(path, what, limit), schema, f"{what} {_named(path)}", hint)


def parse_json(text: str | bytes, schema: type[Schema], place: str, hint: str) -> Schema:
    """What a JSON text holds, if its schema describes it.

    Args:
        text: to parse.
        schema: type of what it shall hold.
        place: where the text stands, as the beginning of a message: "log.jsonl, line 3".
        hint: what to do about it.

    Raises:
        InputError: it is no JSON, or not as the schema says.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise InputError(f"{place}: it is nested too deeply.", hint) from error
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON ({_json_reason(error)}).", hint) from error
    return conform(value, schema, place, hint)


def conform(value: Any, schema: type[Schema], place: str, hint: str) -> Schema:
    """A value of plain objects, lists and numbers as its schema describes it.

    Args:
        value: as a reader of JSON or YAML gives it.
        schema: type of what it shall be.
        place: where it stands, as the beginning of a message.
        hint: what to do about it.

    Raises:
        InputError: it is not as the schema says.
    """
    import msgspec

    try:
        return msgspec.convert(value, schema)
    except RecursionError as error:
        raise InputError(f"{place}: it is nested too deeply.", hint) from error
    except msgspec.ValidationError as error:
        raise InputError(f"{place}: {_in_words(str(error))}.", hint) from error
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        raise InputError(f"{place}: it holds text that is no Unicode.", hint) from error


def _unreadable(path: Path, what: str, error: BaseException) -> InputError:
    return InputError(f"{what} {_named(path)} cannot be read: {_reason(error)}.", "Check the path.")


def _require_regular(mode: int, path: Path, what: str) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise InputError(f"{what} {_named(path)} is {kind}, not a file.", "Save it to a file, and name that.")


def _in_words(problem: str) -> str:
    """msgspec's message with the place first: "tokens[2]: expected int, got str"."""
    found = PLACE.search(problem)
    said = (problem[: found.start()] if found else problem).replace("`", "")
    said = MISSING.sub(r"\1 is missing", said[:1].lower() + said[1:])
    return f"{found[2]}: {said}" if found and found[2] else said


def _json_reason(error: ValueError) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _reason(error: BaseException) -> str:
    said = getattr(error, "strerror", None) or str(error)
    return str(said).partition("\n")[0].rstrip(".")


def _named(path: Path) -> str:
    """The path as it is shown: no control characters, and of a long one the end, which tells most."""
    name = "".join(each if each.isprintable() else "?" for each in str(path))
    return name if len(name) <= SHOWN else f"...{name[-SHOWN:]}"
