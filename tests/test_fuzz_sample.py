"""A fixed sample of `make fuzz`: damaged inputs and odd flags end in a sentence and the right exit code."""

import os
from typing import Any

import pytest
from fuzzing.cases import KINDS, kind_of, run_cases
from fuzzing.children import Ended
from fuzzing.kinds import faults

SEED, CASES = 7, 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in forked processes")
def test_a_sample_of_damaged_inputs_and_flags_ends_as_it_should(tmp_path):
    results = list(run_cases(SEED, range(CASES), 2, tmp_path))
    assert len(results) == CASES
    failed = {result.number: (result.kind.name, result.faults, result.ended.err[-500:]) for result in results}
    assert {number: said for number, said in failed.items() if said[1]} == {}
    assert {result.ended.code for result in results} >= {0, 2}


def test_every_kind_has_its_turn_and_a_case_is_known_by_its_number():
    turns = [kind_of(number) for number in range(1500)]
    assert set(turns) == set(KINDS)
    assert [kind_of(number) for number in range(1500)] == turns


SAID = "Error: Not this.\nHint:  That.\n"
FINE: dict[str, Any] = {"code": 2, "out": "", "err": SAID, "seconds": 1.0, "memory": 0, "hung": False}
SEEN: dict[str, dict[str, Any]] = {
    "bare exception": {"code": 1, "err": "Error: KeyError: 'x'\nHint:  Run again.\n"},
    "exit code 3": {"code": 3},
    "exit code -11": {"code": -11},
    "too long": {"seconds": 11.0},
    "too much memory": {"memory": 2 << 30},
    "no problem and hint": {"err": "Error: Not this.\n"},
    "a library's warning": {"err": f"/x/y.py:3: UserWarning: z\n{SAID}"},
}  # fmt: skip


@pytest.mark.parametrize("fault", SEEN)
def test_the_harness_sees_every_fault(tmp_path, fault):
    log = next(kind for kind in KINDS if kind.name == "log")
    assert faults(log, Ended(**FINE), tmp_path) == []
    assert fault in faults(log, Ended(**(FINE | SEEN[fault])), tmp_path)
