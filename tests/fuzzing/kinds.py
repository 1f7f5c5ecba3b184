"""What a kind of damage is, and what a run of the program must be whatever it met."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzzing.children import ESCAPED, MOST_MEMORY, MOST_SECONDS, UNPREPARED, Ended, Run
from fuzzing.inputs import Inputs

DONE, RUNTIME, INPUT, MISMATCH, ROOM, CHECKED = 0, 1, 2, 3, 4, 5
# Exit code 1 is right for numbers that are known to be damaged only when they compute, and without a hub.
WHILE_RUNNING = ("not finite numbers", "no model hub can be reached")
BARE = re.compile(r"Traceback \(most|Run again with --debug|Error:\s+[\w.]+(Error|Exception|Interrupt)\b")
TWO_LINES = re.compile(r"^Error: [^\n]+\n(.*\n)*Hint: ", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LIBRARY = re.compile(r"^\S+\.py:\d+: \w*Warning|^\[W\d+|^WARNING:", re.MULTILINE)
DEVICES = tuple(map(Path, ("/dev/full", "/dev/null", "/dev/zero")))


@dataclass(frozen=True)
class Kind:
    """A kind of damaged input.

    Attributes:
        name: for the table.
        share: of all cases, in parts.
        needs: names of the valid inputs that it starts from.
        ends: exit codes that it may end in.
        prepare: writes damaged inputs into the current folder, and gives the run that meets them.
    """

    name: str
    share: int
    needs: tuple[str, ...]
    ends: frozenset[int]
    prepare: Callable[[Random, Inputs], Run]


def faults(kind: Kind, ended: Ended, folder: Path) -> list[str]:
    """What is wrong with how a run ended; nothing, if all is as it must be."""
    found, said = [], COLOUR.sub("", ended.err)
    if ended.code == UNPREPARED:
        return ["the harness failed"]
    if ended.code == ESCAPED or BARE.search(said):
        found.append("bare exception")
    if ended.hung or ended.seconds > MOST_SECONDS:
        found.append("too long")
    elif not _may_end_so(kind, ended):
        found.append(f"exit code {ended.code}")
    elif ended.code in (RUNTIME, INPUT, ROOM) and not TWO_LINES.search(said):
        found.append("no problem and hint")
    if ended.code and LIBRARY.search(said):
        found.append("a library's warning")
    if ended.memory > MOST_MEMORY:
        found.append("too much memory")
    if (folder / "work" / "marked").exists():
        found.append("a file's code ran")
    if not all(stat.S_ISCHR(each.stat().st_mode) for each in DEVICES if each.exists()):
        found.append("a device was replaced")
    return found


def _may_end_so(kind: Kind, ended: Ended) -> bool:
    excused = ended.code == RUNTIME and any(words in ended.err for words in WHILE_RUNNING)
    return ended.code in kind.ends or excused
