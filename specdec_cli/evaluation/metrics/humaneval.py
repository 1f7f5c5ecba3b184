"""HumanEval: does the program that was written pass its tests? It is run, so only where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.evaluation.metrics.base import Measure, MetricOptions, mean_measure
from specdec_cli.evaluation.metrics.code import program_of
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import require_sandbox, runs_to_its_end

FIELDS = ("test", "entry_point")


def measure_humaneval(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Share of answers that pass (pass@1, Chen et al. 2021), over those that bring tests along.

    Raises:
        SpecdecError: the system has no fence for programs, or it failed.
    """
    indexes = [index for index, answer in enumerate(answers) if _has_tests(answer)]
    if indexes:
        require_sandbox(options.limits)
    passed = [float(runs_to_its_end(_program(answers[index]), options.limits)) for index in indexes]
    return [mean_measure("humaneval", passed, indexes, "pass@1")]


def _has_tests(answer: Answer) -> bool:
    return all(isinstance(answer.record.get(name), str) for name in FIELDS)


def _program(answer: Answer) -> str:
    """The program to run: the code of the prompt and the answer, and the tests."""
    name = str(answer.record["entry_point"])
    return f"{program_of(answer.prompt, answer.prediction, name)}\n{answer.record['test']}\n\ncheck({name})\n"
