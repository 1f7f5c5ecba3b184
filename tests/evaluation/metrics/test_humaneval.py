"""Answers to HumanEval pass by passing their tests."""

import pytest

from specdec_cli.errors import SpecdecError
from specdec_cli.evaluation import sandbox
from specdec_cli.evaluation.metrics.base import MetricOptions
from specdec_cli.evaluation.metrics.humaneval import measure_humaneval
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits

PROMPT = 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """The sum."""\n'
TEST = "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n"


@pytest.fixture(autouse=True)
def fenced():
    """Only where programs may be run: as root, that takes bubblewrap."""
    try:
        sandbox.require_sandbox()
    except SpecdecError as error:
        pytest.skip(error.problem)


def answer(prediction, **fields):
    record = {"test": TEST, "entry_point": "total", **fields}
    return Answer(1, "1", False, "", PROMPT, prediction, None, record)


def measured(answers, limits=None):
    return measure_humaneval(answers, MetricOptions(limits=limits or Limits()))[0]


@pytest.mark.parametrize(
    "prediction",
    [
        "    return sum(numbers)\n",
        "return sum(numbers)",
        "    result = 0\n    for each in numbers:\n        result += each\n    return result\n\nprint(total(",
        f"Here it is:\n```python\n{PROMPT}    return sum(numbers)\n```\nIt adds.",
        "```\ndef total(numbers: List[int]):\n    return sum(numbers)\n```",
        "def total(numbers):\n    return sum(numbers)",
    ],
)
def test_a_right_answer_passes_in_whatever_form_it_comes(prediction):
    assert list(measured([answer(prediction)]).rows[:, 0]) == [1]


@pytest.mark.parametrize("prediction", ["    return 3\n", "", "    return sum(numbers", "    exit(0)\n"])
def test_a_wrong_answer_fails(prediction):
    assert list(measured([answer(prediction)]).rows[:, 0]) == [0]


def test_what_brings_no_tests_is_not_measured():
    assert measured([answer("x", test=None)]).indexes == ()


def test_a_sandbox_that_fails_is_an_error_and_not_a_wrong_answer(monkeypatch):
    with pytest.raises(SpecdecError, match="--code-memory"):
        measured([answer("    return sum(numbers)\n")], Limits(memory=1 << 70))
    broken = sandbox.Fence("seccomp", (), "/nowhere/child.py")
    monkeypatch.setattr(sandbox, "fence", lambda: broken)
    with pytest.raises(SpecdecError, match="did not start"):
        measured([answer("    return sum(numbers)\n")])
