"""Names that become names of files."""

from __future__ import annotations

from specdec_cli.errors import InputError

LONGEST = 200  # bytes: file systems take 255, and endings and companions want some


def require_file_name(name: str, flag: str) -> str:
    """The name itself, if it can be no path.

    Args:
        name: as given.
        flag: that it was given by, for messages.

    Raises:
        InputError: it is empty, too long, or has separators, control characters or dots alone.
    """
    if not name.strip():
        raise InputError(f"{flag} is empty.", "Give a name such as first-run.")
    wrong = next((each for each in name if each in "/\\:" or not each.isprintable()), None)
    if wrong is not None or not name.strip(". "):
        what = "dots alone" if wrong is None else f"the character {wrong!r}"
        problem = f"{flag} {name!r} is no name of a file: it has {what}."
        raise InputError(
            problem, "Give a name without folders, such as first-run; --save-dir names the folder."
        )
    if len(name.encode(errors="surrogateescape")) > LONGEST:
        raise InputError(f"{flag} is longer than {LONGEST} bytes.", "Give a shorter name.")
    return name
