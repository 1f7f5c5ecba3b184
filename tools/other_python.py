"""Prints an interpreter of the other Python that the package is for, or nothing where there is none.

    python tools/other_python.py      # under 3.11 a Python 3.12, under 3.12 a Python 3.11

Looked for on the path, then among those that uv and pyenv have installed: pyenv puts a stand-in on the path
that runs only where its version was chosen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12))
CAN_MAKE_ENVIRONMENTS = "import ensurepip, sys, venv; print(*sys.version_info[:2], sep='.')"


def other(version: tuple[int, int]) -> str:
    """The supported version that this one is not; the oldest for one that is beyond them."""
    return ".".join(map(str, next(each for each in SUPPORTED if each != version)))


def find(version: str, environment: Mapping[str, str]) -> str | None:
    """An interpreter of that version that can make environments."""
    for candidate in _candidates(version, environment):
        if _answer([candidate, "-c", CAN_MAKE_ENVIRONMENTS], environment) == version:
            return candidate
    return None


def _candidates(version: str, environment: Mapping[str, str]) -> Iterator[str]:
    path = environment.get("PATH", "")
    if found := shutil.which(f"python{version}", path=path):
        yield found
    if uv := shutil.which("uv", path=path):
        yield _answer([uv, "python", "find", "--no-python-downloads", version], environment)
    pyenv = Path(environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/")) / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))


def _answer(command: list[str], environment: Mapping[str, str]) -> str:
    """What a command prints; nothing if it fails."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.stdout.write(find(other((sys.version_info[0], sys.version_info[1])), os.environ) or "")
