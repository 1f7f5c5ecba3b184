"""What a run accepts beside the most that any lossless verifier could."""

import pytest
import torch
from tree_toys import DRAFT, POLICIES, TARGET

from specdec_cli.audit.acceptance_bound import AcceptanceCounter, best_acceptance
from specdec_cli.audit.enumeration import EXACT, law_of
from specdec_cli.audit.exact import LENGTH, PROMPT, VOCAB_SIZE
from specdec_cli.audit.toys import ToyDraftModel, ToyTarget
from specdec_cli.drafting import tree_drafter
from specdec_cli.drafting.shapes import parse_tree
from specdec_cli.engine.loop import decode
from specdec_cli.engine.observation import observed
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.verification import rejection


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tree", ["2", "3", "2x1"])
def test_from_the_root_down_no_more_is_accepted_than_the_bound_allows(policy, tree):
    """Expected acceptance beside the expected bound, over every path of chance."""
    totals = {"accepted": 0.0, "possible": 0.0}

    def program(randomness):
        counter = AcceptanceCounter()
        drafter = tree_drafter.TreeDrafter(
            ToyDraftModel(DRAFT), parse_tree(tree), POLICIES[policy], Sampling(), VOCAB_SIZE
        )
        roles = Roles(ToyTarget(TARGET), drafter, rejection.reject_by_token)
        steps = observed(roles, lambda roles: decode(PROMPT, roles, randomness, Stopping(LENGTH)))
        counter.add(next(steps)[1])
        return counter.accepted, counter.possible

    for (accepted, possible), weight in law_of(program).items():
        totals["accepted"] += weight * accepted
        totals["possible"] += weight * possible
    assert totals["accepted"] <= totals["possible"] + EXACT
    if policy in ("hub", "top k"):
        assert totals["accepted"] == pytest.approx(totals["possible"], abs=1e-9)


def test_a_mixture_of_guesses_without_a_formula_has_no_bound():
    target = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    half = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    assert best_acceptance(target, [0, 1], [None, half]) is None
    assert best_acceptance(target, [0, 1, 2], [half, half, None]) is None
