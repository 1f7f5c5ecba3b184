"""Models that are folders or files, by the last part of their path, so that a table has room for figures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from specdec_cli.settings.draft_spec import without_ngram_first

ROOTED = ("/", "./", "../", "~")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """What to call each model: paths by their last part, or by as many as tell them from the others.

    Args:
        names: as they were given; those that are no paths stay as they are.
    """
    given = list(dict.fromkeys(names))
    taken = dict.fromkeys(given, 1)
    while True:
        found = {name: _last_parts(name, taken[name]) for name in given}
        counts = Counter(found.values())
        longer = [name for name in given if counts[found[name]] > 1 and found[name] != name]
        if not longer:
            return found
        for name in longer:
            taken[name] += 1


def short_configurations(configurations: Iterable[str]) -> dict[str, str]:
    """What to call each configuration, such as "sps, draft /models/small": its models by short names.

    Args:
        configurations: their names: a method, then settings with their values.
    """
    given = list(configurations)
    values = [without_ngram_first(part.partition(" ")[2])[1] for name in given for part in name.split(", ")]
    short = short_names(value for value in values if value)
    return {name: ", ".join(_shortened(part, short) for part in name.split(", ")) for name in given}


def short_name(name: str) -> str:
    """What to call a model that stands alone."""
    return short_names([name])[name]


def _shortened(part: str, short: dict[str, str]) -> str:
    label, space, value = part.partition(" ")
    copying, value = without_ngram_first(value)
    return f"{label}{space}{copying}{short.get(value, value)}"


def _last_parts(name: str, count: int) -> str:
    """The last parts of a path; a name that is none stays whole, as does a path that has no more parts."""
    parts = [part for part in name.split(os.sep) if part not in ("", ".")]
    if not _is_path(name) or count >= len(parts) or parts[-count] in ("..", "~"):
        return name
    return os.sep.join(parts[-count:])


def _is_path(name: str) -> bool:
    """Whether a name is of a folder or a file; `owner/model` is only where there is such a folder."""
    if os.sep not in name:
        return False
    try:
        return name.startswith(ROOTED) or name.lower().endswith(".gguf") or Path(name).exists()
    except (OSError, ValueError):  # too long, or no name that a file can have
        return False
