"""The audit of the audit: every planted bug is caught, and nothing innocent is."""

import pytest

from specdec_cli.audit.exact import PLAIN, check, same_text
from specdec_cli.audit.faults import FAULTS
from specdec_cli.audit.self_test import try_fault
from specdec_cli.settings import Settings


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_bug_is_caught_and_its_method_without_it_passes(fault):
    found = try_fault(fault, seed=0)
    assert found.caught
    assert found.exact
    assert found.innocent
    assert found.greedy == ("row" in fault.name)  # the only one that shows where nothing is left to chance


@pytest.mark.parametrize("coupled", [False, True])
def test_own_samples_give_the_text_of_plain_decoding_for_every_seed(coupled):
    settings = Settings(
        method="specexec", draft="toy", temperature=1.0, coupled=coupled, max_budget=5, max_branch_width=3
    )
    assert same_text(settings, seed=3).passed


def test_another_methods_text_is_another():
    settings = Settings(method="sps", draft="toy", temperature=1.0)
    assert not same_text(settings, seed=3).passed


def test_what_stops_a_check_is_in_its_record():
    def breaking(roles, settings):
        raise ValueError("no tree today")

    found = check(PLAIN, 0, breaking)
    assert not found.passed
    assert found.error == "ValueError: no tree today"
