"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from specdec_cli.errors import InputError

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-zA-Z]*)\s*")


def parse_size(text: str, place: str = "The size") -> int:
    """Bytes of "2GiB", "800 MB" or "1000000".

    Raises:
        InputError: it is no such amount, or none at all; `place` says where it stands.
    """
    found = SIZE.fullmatch(text)
    unit = UNITS.get(found[2].lower()) if found else None
    size = int(float(found[1]) * unit) if found and unit else 0
    if size < 1:
        raise InputError(f"{place} must be an amount of memory, not {text!r}.", "Write 2GiB or 800MB.")
    return size
