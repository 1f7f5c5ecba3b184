"""Programs are run where they can do no harm, and pass only by passing."""

import socket
import threading
import time

import pytest

from specdec_cli.evaluation.metrics.humaneval import measure_humaneval, program_of
from specdec_cli.evaluation.results import Answer
from specdec_cli.evaluation.sandbox import Limits, runs_to_its_end

PROMPT = 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """The sum."""\n'
TEST = "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n"


def answer(prediction, **fields):
    record = {"test": TEST, "entry_point": "total", **fields}
    return Answer(1, "1", False, "", PROMPT, prediction, None, record)


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
    assert list(measure_humaneval([answer(prediction)]).rows[:, 0]) == [1]


@pytest.mark.parametrize("prediction", ["    return 3\n", "", "    return sum(numbers", "    exit(0)\n"])
def test_a_wrong_answer_fails(prediction):
    assert list(measure_humaneval([answer(prediction)]).rows[:, 0]) == [0]


def test_what_brings_no_tests_is_not_measured():
    assert measure_humaneval([answer("x", test=None)]).places == ()


def test_words_around_the_prompts_code_do_not_break_the_program():
    told = Answer(1, "1", False, "", f"Complete this function:\n{PROMPT}", "", None,
                  {"test": TEST, "entry_point": "total"})  # fmt: skip
    whole = Answer(**{**{name: getattr(told, name) for name in told.__slots__},
                      "prediction": "def total(numbers):\n    return sum(numbers)"})  # fmt: skip
    assert program_of(whole).lstrip().startswith("def total")


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "x = bytearray(4 << 30)",
        "open('/tmp/specdec-escape', 'w')",
        "open('big', 'wb').write(b'0' * (8 << 20))",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.remove('/tmp/specdec-nothing')",
        "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)",
        "import ctypes; ctypes.CDLL(None)",
        "assert __import__('sys').stdin.read()",
    ],
)
def test_a_program_that_reaches_out_does_not_pass(program):
    assert not runs_to_its_end(program)


@pytest.mark.parametrize(
    "program",
    [
        "import os; assert os.listdir('.') == [] and not os.environ.get('HOME')",
        "open('own', 'w').write('x'); assert open('own').read() == 'x'",
        "print('x' * 100000)",
        "import math, re, itertools, collections, functools, typing, random, datetime, heapq, hashlib",
        "if __name__ == '__main__': pass",
    ],
)
def test_a_program_that_minds_its_business_passes(program):
    assert runs_to_its_end(program)


def test_a_program_that_goes_on_for_ever_is_stopped():
    begun = time.perf_counter()
    assert not runs_to_its_end("while True: pass", Limits(seconds=0.5))
    assert time.perf_counter() - begun < 5


def test_no_connection_arrives():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        arrived = threading.Event()

        def wait():
            try:
                server.accept()
                arrived.set()
            except TimeoutError:
                pass

        waiting = threading.Thread(target=wait)
        waiting.start()
        port = server.getsockname()[1]
        tried = f"import _socket; _socket.socket().connect(('127.0.0.1', {port}))"
        assert not runs_to_its_end(tried)
        waiting.join()
    assert not arrived.is_set()
