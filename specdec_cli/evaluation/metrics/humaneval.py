"""HumanEval: does the program that was written pass its tests? It is run, so only where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.evaluation.metrics.base import Measure, mean_measure
from specdec_cli.evaluation.metrics.code import program_of
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits, require_sandbox, runs_to_its_end


def measure_humaneval(answers: Sequence[Answer], limits: Limits | None = None) -> Measure:
    """Share of answers that pass (pass@1, Chen et al. 2021), over those that bring tests along.

    Raises:
        SpecdecError: the system has no fence for programs, or it failed.
    """
    places = [place for place, answer in enumerate(answers) if _tests(answer)]
    if places:
        require_sandbox(limits)
    values = [float(runs_to_its_end(_program(answers[place]), limits)) for place in places]
    return mean_measure("humaneval", values, places, "pass@1")


def _tests(answer: Answer) -> bool:
    return all(isinstance(answer.record.get(name), str) for name in ("test", "entry_point"))


def _program(answer: Answer) -> str:
    """The program to run: the code of the prompt and the answer, and the tests."""
    name = str(answer.record["entry_point"])
    return f"{program_of(answer.prompt, answer.prediction, name)}\n{answer.record['test']}\n\ncheck({name})\n"
