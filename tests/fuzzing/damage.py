"""Seeded damage: to bytes, to values of JSON, and to files made of either."""

from __future__ import annotations

import gzip
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

DEEP = 20_000
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 0.5, -0.5, 7, 1000, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e308,
    1e-320, math.nan, math.inf, -math.inf, "", " ", "0", "nan", "x" * 10_000, "\x00", "\x1b[31m", "ü漢字🙂",
    "\ud800", [], {}, [[]], [None], {"": None}, [0] * 1000, "../../x", "~no-such-user/x", "gelu", "/dev/null",
)  # fmt: skip
COUNTS = (0, 1, 2**16, 10**6, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places in a value of JSON, some of each long list, the whole one last."""
    found = []
    if isinstance(value, dict):
        found = [place for key, each in list(value.items())[:40] for place in paths_in(each, (*path, key))]
    elif isinstance(value, list):
        found = [place for key, each in list(enumerate(value))[:4] for place in paths_in(each, (*path, key))]
    return [*found, path]


def damaged_value(random: Random, value: Any) -> Any:
    """A copy of a value of JSON, damaged in one to three places."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        path = random.choice(paths_in(value))
        if not path:
            if random.random() < 0.1:
                return random.choice(VALUES)
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        _damage_entry(random, holder, path[-1])
    return value


def _damage_entry(random: Random, holder: Any, key: Any) -> None:
    old, chance = holder[key], random.random()
    if chance < 0.25:
        del holder[key]
    elif chance < 0.65:
        holder[key] = random.choice(VALUES)
    elif chance < 0.8:
        holder[key] = _near(random, old)
    elif chance < 0.9:
        holder[key] = random.choice(([old], {"a": old}, str(old), [old] * 100))
    elif isinstance(holder, dict):
        holder[random.choice((f"{key}x", "", "__class__"))] = holder.pop(key)
    else:
        holder.append(old)


def _near(random: Random, old: Any) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int | float):
        return random.choice((old + 1, old - 1, -old, old * 2, old * 1000, old / 2, old * 10**6))
    if isinstance(old, str):
        return random.choice((old[:-1], old + old, old.upper(), old.swapcase() + " "))
    return random.choice((old, None))


def as_json(value: Any) -> bytes:
    """JSON as Python writes it: NaN and lone surrogates too."""
    return json.dumps(value).encode()


def damaged_bytes(random: Random, content: bytes, head: int | None = None) -> bytes:
    """Bytes cut, flipped, overwritten, or with others among them; of the first `head` of them, if given."""
    data, span = bytearray(content), max(1, min(len(content), head or len(content)))
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(span)
        chance = random.random()
        if chance < 0.25:
            del data[place:]
        elif chance < 0.5 and place < len(data):
            data[place] ^= 1 << random.randrange(8)
        elif chance < 0.65:
            del data[place : place + random.choice((1, 2, 8, 100))]
        elif chance < 0.8:
            data[place:place] = random.randbytes(random.choice((1, 2, 8, 100)))
        else:
            data[place : place + 8] = random.choice(COUNTS).to_bytes(8, "little")
    return bytes(data)


def spoilt_text(random: Random, content: bytes) -> bytes:
    """A text file that is empty, cut, of another encoding, or not what its name says."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: content[: random.randrange(len(content) + 1)],
        lambda: damaged_bytes(random, content),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode(errors="replace").encode("utf-16"),
        lambda: b"[" * DEEP,
        lambda: b'{"a":' * DEEP,
        lambda: random.choice((b"null", b"[]", b"{}", b"0", b'"x"', b"\x00" * 100, b"\n\n\n")),
        lambda: random.randbytes(1000),
        lambda: content + content,
    )
    return random.choice(ways)()


def damaged_json(random: Random, content: bytes) -> bytes:
    """A JSON file, damaged as a value mostly, as bytes now and then."""
    if random.random() < 0.25:
        return spoilt_text(random, content)
    return as_json(damaged_value(random, json.loads(content)))


def damaged_lines(random: Random, content: bytes) -> bytes:
    """A file of JSON lines: a line damaged, doubled, glued, blank or torn."""
    lines = content.splitlines()
    if not lines or random.random() < 0.15:
        return spoilt_text(random, content)
    place, chance = random.randrange(len(lines)), random.random()
    if chance < 0.65:
        lines[place] = as_json(damaged_value(random, json.loads(lines[place])))
    elif chance < 0.7:
        lines.insert(place, lines[place])
    elif chance < 0.75:
        lines[place] += lines[random.randrange(len(lines))]
    elif chance < 0.8:
        lines.insert(place, random.choice((b"", b" ", b"null", b"[]", b"{}", b"\x00")))
    elif chance < 0.9:
        lines[place] = damaged_bytes(random, lines[place])
    else:
        lines[-1] = lines[-1][: random.randrange(len(lines[-1]) + 1)]
        return b"\n".join(lines)
    return b"\n".join(lines) + random.choice((b"\n", b""))


def damaged_gzip(random: Random, content: bytes, inner: Callable[[Random, bytes], bytes]) -> bytes:
    """A gzip file, damaged within, without, or of one line that is a thousand times as long."""
    chance = random.random()
    if chance < 0.5:
        return gzip.compress(inner(random, content), 1)
    if chance < 0.6:
        return gzip.compress(b'{"prompt": "', 1) + gzip.compress(b" " * (1 << 24), 1) * 64
    return damaged_bytes(random, gzip.compress(content, 1))


def damaged_safetensors(random: Random, content: bytes) -> bytes:
    """A safetensors file whose header says other things, or whose bytes are others."""
    length = int.from_bytes(content[:8], "little")
    header, body, chance = json.loads(content[8 : 8 + length]), content[8 + length :], random.random()
    if chance < 0.5:
        new = as_json(damaged_value(random, header))
        return len(new).to_bytes(8, "little") + new + body
    if chance < 0.65:
        wrong = random.choice((*COUNTS, length + 1, length - 1, len(content)))
        return wrong.to_bytes(8, "little") + content[8:]
    if chance < 0.8:
        return damaged_bytes(random, content, 8 + length)
    return damaged_bytes(random, content)


def instead_of_a_file(random: Random, path: Path) -> None:
    """Put a folder, a pipe, a device or a link that leads nowhere in a file's place."""
    path.unlink(missing_ok=True)
    random.choice(
        (
            lambda: None,
            path.mkdir,
            lambda: os.mkfifo(path),
            lambda: path.symlink_to("nowhere"),
            lambda: path.symlink_to(path.name),
            lambda: path.symlink_to("/dev/zero"),
            lambda: path.symlink_to("/dev/full"),
            path.touch,
        )
    )()


def damage_file(random: Random, path: Path, how: Callable[[Random, bytes], bytes]) -> None:
    """Damage a file, or now and then put something else in its place."""
    if random.random() < 0.04:
        instead_of_a_file(random, path)
    else:
        path.write_bytes(how(random, path.read_bytes()))
