"""What settings may not be together."""

import json

import pytest
from refused_settings import refusal

from specdec_cli.drafting.shapes import MAX_NODES, parse_tree
from specdec_cli.settings import load_settings


def test_the_largest_tree_may_be_written_out() -> None:
    parents = json.dumps([number // 16 - 1 for number in range(MAX_NODES)])
    settings = load_settings(flags={"method": "specinfer", "tree": parents}, environ={}).settings
    assert parse_tree(settings.tree or "").size == MAX_NODES


@pytest.mark.parametrize(
    ("verify", "method", "other"),
    [("block", "sps", "specexec"), ("traversal", "spechub", "sps"), ("traversal", "rrsw", "kseq")],
)
def test_a_verifier_is_for_the_methods_that_take_it(verify: str, method: str, other: str) -> None:
    taken = load_settings(flags={"method": method, "verify": verify}, environ={}).settings
    assert taken.verify == verify
    message = refusal(environ={"SPECDEC_VERIFY": verify}, method=other)
    assert message.startswith(f"SPECDEC_VERIFY {verify} does not go with the method {other}")
    assert f"--method {method}" in message or method in message


def test_a_tree_is_for_the_methods_that_take_one() -> None:
    assert load_settings(flags={"method": "rrsw", "tree": "2^5"}, environ={}).settings.tree == "2^5"
    message = refusal(method="sps", tree="2^5")
    assert "takes no tree" in message
    assert "spechub" in message


def test_the_method_ngram_takes_no_draft_model() -> None:
    assert load_settings(flags={"method": "ngram", "draft": "ngram"}, environ={}).settings.draft == "ngram"
    assert "--draft some/model" in refusal(method="ngram", draft="some/model")


def test_coupling_is_for_specexec_above_temperature_zero() -> None:
    assert load_settings(flags={"coupled": True, "temperature": 1.0}, environ={}).settings.coupled
    assert "temperature 0" in refusal(coupled=True)
    assert "--method specexec" in refusal(coupled=True, temperature=1.0, method="sps")
    assert "--method spechub" in refusal(hub_above=0.5, method="rrsw")
