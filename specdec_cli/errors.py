"""Errors that a user can put right: one sentence of problem, one of hint, and an exit code."""

RUNTIME = 1
USAGE = 2
MISMATCH = 3
NO_ROOM = 4
CHECK_FAILED = 5
INTERRUPTED = 130


class SpecdecError(Exception):
    """Something the user can change, with the change that would put it right."""

    exit_code = RUNTIME

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class NotFiniteError(SpecdecError):
    """Numbers that no distribution follows from: NaN, infinity, or a row of which nothing is possible."""


class InputError(SpecdecError):
    """A flag, preset, prompt or file that cannot be used as given."""

    exit_code = USAGE


class MismatchError(SpecdecError):
    """Models that do not fit together, or a model that a method cannot drive."""

    exit_code = MISMATCH


class ResourceError(SpecdecError):
    """Not enough memory or disk, found before loading."""

    exit_code = NO_ROOM
