"""The table of methods: what its rows say follows from what the engine does with them."""

import pytest

from specdec_cli.drafting.policies import policy
from specdec_cli.registry.methods import ALIASES, METHODS, PLAIN, canonical
from specdec_cli.runtime.build import VERIFIERS
from specdec_cli.settings import RULES


@pytest.mark.parametrize("name", METHODS)
def test_what_a_row_names_is_there(name):
    method = METHODS[name]
    assert set(method.verify.values()) <= set(VERIFIERS)
    assert set(method.reads) <= set(RULES)
    assert method.general is None or METHODS[method.general].combine == method.combine
    assert (method.general is None) == (method.execution is None)
    if method.policy is not None:
        assert callable(policy(method.policy))


@pytest.mark.parametrize("name", METHODS)
def test_a_tree_is_filled_by_a_policy_and_by_nothing_else(name):
    method = METHODS[name]
    assert method.takes_tree == (method.policy is not None) == (method.tree is not None)
    assert not method.plannable or method.takes_tree
    assert method.is_ensemble == (method.drafter == "members")


def test_each_question_is_answered_by_these_methods():
    def those(question):
        return {name for name, method in METHODS.items() if getattr(method, question)}

    assert those("is_plain") == {PLAIN}
    assert those("emits_own_sample") == {PLAIN, "specexec", "ngram"}
    assert those("may_copy_first") == those("takes_ngram") == {"sps", "specexec"}
    assert those("draws_guesses") == {"sps", "specinfer", "rrsw", "sequoia", "spechub", "kseq"}
    assert those("ranks_guesses") == {"specexec"}
    assert those("has_hubs") == {"spechub"}
    assert those("plans_tree") == {"sequoia"}
    assert those("plannable") == {"specinfer", "rrsw", "sequoia", "topk"}


@pytest.mark.parametrize("alias", ALIASES)
def test_other_names_lead_to_a_method(alias):
    assert canonical(alias) in METHODS
