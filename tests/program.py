"""What a run of the program gave; the fixture `specdec` in tests/cli runs it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Exit code and both outputs of one run."""

    code: int
    out: str
    err: str


Program = Callable[..., Outcome]
