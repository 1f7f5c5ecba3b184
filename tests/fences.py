"""The fences around generated programs that can be tried here."""

import shutil
from pathlib import Path

import pytest

from specdec_cli.errors import SpecdecError
from specdec_cli.evaluation import sandbox
from specdec_cli.evaluation.sandbox import Fence, Limits

QUICK = Limits(seconds=20.0)


def bubblewrap() -> Fence | None:
    found = shutil.which("bwrap")
    return (
        None if found is None else Fence("bubblewrap", sandbox._bubblewrap(found), "/answer/sandbox_child.py")
    )


def usable(name: str, child: Path = sandbox.CHILD) -> Fence:
    """A fence, or a skip where this system cannot make it."""
    found = bubblewrap() if name == "bubblewrap" else Fence("seccomp", (), str(child))
    if found is None:
        pytest.skip("bubblewrap is not installed")
    try:
        sandbox._run("pass", QUICK, found)
    except SpecdecError as error:
        pytest.skip(f"{name} cannot be used here: {error.problem}")
    return found


def passes(program: str, fence: Fence, limits: Limits = QUICK) -> bool:
    return sandbox._run(program, limits, fence)
