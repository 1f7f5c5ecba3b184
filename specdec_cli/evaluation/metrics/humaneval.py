"""HumanEval: does the program that was written pass its tests? It is run, so only where that is allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from specdec_cli.evaluation.metrics.base import Measure, mean_measure
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits, require_sandbox, runs_to_its_end

FENCE = re.compile(r"```(?:[Pp]ython|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
ENDINGS = re.compile(r"\n(?=\S)(?!\)|\]|\})")  # where a body that was continued is over


def measure_humaneval(answers: Sequence[Answer], limits: Limits | None = None) -> Measure:
    """Share of answers that pass (pass@1, Chen et al. 2021), over those that bring tests along.

    Raises:
        SpecdecError: the system has no way to limit a process.
    """
    places = [place for place, answer in enumerate(answers) if _tests(answer)]
    if places:
        require_sandbox()
    values = [float(runs_to_its_end(program_of(answers[place]), limits)) for place in places]
    return mean_measure("humaneval", values, places, "pass@1")


def _tests(answer: Answer) -> bool:
    return all(isinstance(answer.record.get(name), str) for name in ("test", "entry_point"))


def program_of(answer: Answer) -> str:
    """The program to run: the prompt's code, the answer's, and the tests.

    An answer is the rest of the function that the prompt begins, or holds the whole function, in a block of
    code or bare. A rest ends where the next thing at the left edge begins.
    """
    name = str(answer.record["entry_point"])
    tests = f"{answer.record['test']}\n\ncheck({name})\n"
    block = FENCE.search(answer.prediction)
    code = block[1] if block else answer.prediction
    if _defines(code, name):
        return f"{_before_function(answer.prompt, name)}\n{code}\n\n{tests}"
    rest = ENDINGS.split(code, maxsplit=1)[0]
    if rest and not rest[0].isspace():  # the indent of the first line was lost with the white space before it
        rest = f"    {rest}"
    return f"{answer.prompt}{'' if answer.prompt.endswith(chr(10)) else chr(10)}{rest}\n\n{tests}"


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^def\s+{re.escape(name)}\b", code, re.MULTILINE) is not None


def _before_function(prompt: str, name: str) -> str:
    """The imports and helpers of the prompt, without the function that it only begins."""
    head = re.split(rf"^def\s+{re.escape(name)}\b", prompt, maxsplit=1, flags=re.MULTILINE)[0]
    try:
        ast.parse(head)
    except SyntaxError:  # words around the code, as in an instruction
        return ""
    return head
