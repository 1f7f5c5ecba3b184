"""The program in an answer: in whatever form models write it, read as the reference harnesses read it."""

import time
from typing import Any

import pytest

from specdec_cli.evaluation.metrics.code import blocks, program_of, without_thought

PROMPT = 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """The sum."""\n'
BODY = "    result = 0\n    for each in numbers:\n        result += each\n    return result\n"
WHOLE = f"def total(numbers):\n{BODY}"
WRONG = "def total(numbers):\n    return -1\n"


def shifted(text: str, by: str) -> str:
    return "\n".join(f"{by}{line}" for line in text.split("\n"))


RIGHT = {
    "a completion": BODY,
    "a completion whose first indent is lost": BODY.lstrip(),
    "a completion at the left edge": "result = 0\nfor each in numbers:\n    result += each\nreturn result\n",
    "a completion indented by two": BODY.replace("    ", "  "),
    "a completion with a helper": "    return add(numbers)\n\ndef add(numbers):\n    return sum(numbers)\n",
    "a completion that goes on with another function": f"{BODY}\n\ndef other(x):\n    return (",
    "a completion that goes on with a test": f"{BODY}\n\nprint(total(",
    "a completion that goes on with words": f"{BODY}\nThis function adds the numbers.",
    "a completion before the prompt's closing fence": f"{BODY}```\n\nIt adds.\n\n```python\nprint(3)\n```",
    "a completion before an end of text": f"{BODY}<|endoftext|>import nothing",
    "the function": WHOLE,
    "the function and words": f"Sure!\n\n{WHOLE}\nIt adds, doesn't it?\n",
    "the function and its use": f"{WHOLE}\nprint(total([1]))\nassert total([1]) == 2\n",
    "the function and a main guard": f'{WHOLE}\nif __name__ == "__main__":\n    raise SystemExit(1)\n',
    "the function and a question": f"{WHOLE}\nn = int(input())\nprint(total([n]))\n",
    "the function, indented": shifted(WHOLE, "    "),
    "a lambda": "total = lambda numbers: sum(numbers)",
    "python": f"```python\n{WHOLE}```",
    "Python": f"```Python\n{WHOLE}```",
    "python3": f"```python3\n{WHOLE}```",
    "py": f"```py\n{WHOLE}```",
    "a tag with options": f"```python title=a.py\n{WHOLE}```",
    "a tag in braces": f"```{{.python}}\n{WHOLE}```",
    "no tag": f"```\n{WHOLE}```",
    "space before the tag": f"``` python\n{WHOLE}```",
    "carriage returns": f"```python\n{WHOLE}```\n".replace("\n", "\r\n"),
    "tildes": f"~~~python\n{WHOLE}~~~",
    "four backticks": f"````python\n{WHOLE}````",
    "no closing fence": f"```python\n{WHOLE}",
    "a closing fence at the end of a line": f"```python\n{WHOLE.rstrip()}```\nIt adds.",
    "a fence amid a line": f"Here it is: ```python\n{WHOLE}```",
    "an indented fence": f"1. So:\n{shifted(f'```python{chr(10)}{WHOLE}```', '   ')}",
    "a fence in a list": f"- ```python\n{shifted(f'{WHOLE}```', '  ')}",
    "a fence in a quotation": shifted(f"```python\n{WHOLE}```", "> "),
    "a shell block before": f"```bash\npip install nothing\n```\n```python\n{WHOLE}```",
    "a draft before": f"```python\n{WRONG}```\nNo:\n```python\n{WHOLE}```",
    "an example before": f"```python\nprint(total([1]))\n```\n```python\n{WHOLE}```",
    "an example after": f"```python\n{WHOLE}```\nUse it:\n```python\nprint(total([1]))\n```",
    "output after": f"```python\n{WHOLE}```\nIt prints:\n```\n3\n```",
    "a torn block after": f"```python\n{WHOLE}```\nOr:\n```python\ndef total(numbers):\n    return (",
    "a helper in a block before": (
        "```python\nimport functools\ndef add(a, b):\n    return functools.reduce(int.__add__, (a, b))\n```\n"
        "```python\ndef total(numbers):\n    result = 0\n    for each in numbers:\n"
        "        result = add(result, each)\n    return result\n```"
    ),
    "a block with the rest only": f"```python\n{BODY}```",
    "a block with the prompt again": f"```python\n{PROMPT}{BODY}```",
    "thought before": f"<think>```python\n{WRONG}``` no</think>\n```python\n{WHOLE}```",
    "thought before a completion": f"<think>hm</think>\n{BODY}",
    "a future import": f"```python\nfrom __future__ import annotations\n{WHOLE}```",
    "a decorator": f"```python\ndef same(f):\n    return f\n\n@same\n{WHOLE}```",
    "a byte-order mark": f"\ufeff{WHOLE}",
    "tags of CodeLlama": f"[PYTHON]\n{WHOLE}[/PYTHON]\n[TESTS]\nassert False\n[/TESTS]",
    "a pattern with backslashes": f'```python\nPATTERN = "\\d"\n{WHOLE}```',
}


def passes(program: str) -> bool:
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(program, space)
        return bool(space["total"]([1, 2]) == 3)
    except (Exception, SystemExit):
        return False


@pytest.mark.parametrize("form", RIGHT)
def test_a_right_answer_is_read_in_whatever_form_it_comes(form: str) -> None:
    assert passes(program_of(PROMPT, RIGHT[form], "total"))


@pytest.mark.parametrize("wrapped", ["Complete this:\n{}", "Complete this:\n```python\n{}```\nThank you."])
@pytest.mark.parametrize("form", ["a completion", "python", "a block with the rest only"])
def test_words_around_the_prompts_code_are_no_part_of_the_program(wrapped: str, form: str) -> None:
    assert passes(program_of(wrapped.format(PROMPT), RIGHT[form], "total"))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "    return 3.5\n",
        "I cannot.",
        f"```python\n{WHOLE}```\nBetter:\n```python\n{WRONG}```",
        "return (",
        "```python\n```",
        "```",
        "~~~",
        "def other(numbers):\n    return sum(numbers)",
    ],
)
def test_a_wrong_answer_stays_wrong(answer: str) -> None:
    assert not passes(program_of(PROMPT, answer, "total"))


def test_helpers_of_the_prompt_are_kept_with_a_whole_function() -> None:
    prompt = 'def one():\n    return 1\n\n\ndef total(numbers):\n    """Sum."""\n'
    answer = "```python\ndef total(numbers):\n    return sum(numbers) * one()\n```"
    assert passes(program_of(prompt, answer, "total"))


def test_blocks_are_given_in_order_at_the_left_edge() -> None:
    text = "a\n```sh\nls\n```\n  ~~~\n  x\n    y\n  ~~~\n```py\nz"
    assert blocks(text) == ["ls\n", "x\n  y\n", "z\n"]


def test_thought_with_nothing_after_it_is_the_answer() -> None:
    assert without_thought("<think>a</think> b") == " b"
    assert without_thought("<think>a</think>\n") == "<think>a</think>\n"


@pytest.mark.parametrize(
    "piece",
    ["```", "```\n", "```py\n", "<think>", "\n", " ", "> ", "1. ", "x = 1\n", "@x\n", "[PYTHON]", "    x\n",
     "def total(\n", "def total(): pass\n", "```\ndef total(): pass\n```\n", "```\nimport a\n```\n"],
)  # fmt: skip
def test_an_answer_that_repeats_itself_for_ever_is_read_in_one_go(piece: str) -> None:
    begun = time.process_time()
    program_of(PROMPT, piece * (50_000 // len(piece)), "total")
    assert time.process_time() - begun < 10
