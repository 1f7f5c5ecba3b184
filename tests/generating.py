"""What tests of `specdec generate` and `ensemble` ask, how they read outcomes; fixtures are in tests/cli."""

import json
from typing import Any

from program import Outcome

PROMPT = "the cat and the cat and the"
COUNT = 20  # tokens of an ensemble


def record(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    made: dict[str, Any] = json.loads(outcome.out)
    return made


def text_of(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("\n")
    return outcome.out[:-1]


def refused(outcome: Outcome, code: int) -> str:
    """The problem, of an outcome that is one line of problem and one of hint, and nothing on stdout."""
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    problem, hint = outcome.err.splitlines()
    assert problem.startswith("Error: ")
    assert hint.startswith("Hint:  ")
    return problem.removeprefix("Error: ")
