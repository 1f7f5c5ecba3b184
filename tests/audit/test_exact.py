"""The exact level of the audit: what it says of ensembles, sound and broken."""

import pytest

from specdec_cli.audit import exact, self_test
from specdec_cli.audit.ensembles import ensemble_cases
from specdec_cli.audit.enumeration import EXACT
from specdec_cli.audit.faults import FAULTS


@pytest.mark.parametrize("method", ["we-chef", "cd-sd"])
def test_an_ensemble_follows_its_law_and_says_which_it_is(method):
    settings = next(iter(ensemble_cases(method)))
    found = exact.check(settings, seed=0)
    assert found.passed
    assert found.distance < EXACT
    assert found.method.startswith(f"{method}: ")
    assert f"of {len(settings.models)}, {settings.exec}" in found.method


def test_what_stops_an_ensemble_is_in_its_record(monkeypatch):
    def breaking(settings, seed):
        raise ValueError("no law today")

    monkeypatch.setattr(exact, "ensemble_distance", breaking)
    found = exact.check(next(iter(ensemble_cases("we-sd"))), seed=0)
    assert not found.passed
    assert found.error == "ValueError: no law today"


def test_an_ensemble_of_another_law_fails(monkeypatch):
    monkeypatch.setattr(exact, "ensemble_distance", lambda settings, seed: (1e-3, 8))
    assert not exact.check(next(iter(ensemble_cases("we-sd"))), seed=0).passed


def test_the_audit_of_the_audit_tries_every_fault(monkeypatch):
    tried = []
    monkeypatch.setattr(self_test, "try_fault", lambda fault, seed: tried.append((fault.name, seed)))
    assert len(self_test.self_test(3)) == len(FAULTS)
    assert tried == [(fault.name, 3) for fault in FAULTS]
