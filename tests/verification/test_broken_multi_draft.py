"""Negative controls for trees: bugs planted into copies of policies, drafters and verifiers are each caught."""

import pytest
from planting import broken, rebound
from tree_toys import POLICIES, error_of, first_step

from specdec_cli.audit.enumeration import EXACT, NoiseReusedError
from specdec_cli.audit.toys import MisuseError
from specdec_cli.drafting import tree_drafter
from specdec_cli.drafting.policies import base, hub, top_k, with_replacement, without_replacement
from specdec_cli.verification import kseq, rejection, traversal, walk

REJECT, UP, SEQ = rejection.reject_by_token, traversal.verify_traversal, kseq.verify_kseq


# name: tree, module, right source, wrong source; the policy and the verifier are those the module belongs to.
BROKEN_POLICIES = {
    "replaced, recorded as not": ("2", with_replacement, "[draft] * count", "[draft, *[without(draft, tokens[:, 0])] * (count - 1)]"),
    "not replaced, recorded as replaced": ("2", without_replacement, "torch.stack(tokens, dim=-1), exists, proposals", "torch.stack(tokens, dim=-1), exists, [draft] * count"),
    "elder siblings drawn again": ("2", without_replacement, "draws(remaining, sibling)", "draws(draft, sibling)"),
    "hub recorded as a sample of all": ("2", hub, "[rest, *[None]", "[draft, *[None]"),
    "hub drawn as a sample of all": ("2", hub, "draws(rest, 0)", "draws(draft, 0)"),
    "likeliest recorded as samples": ("2", top_k, "[None] * likeliest", "[draft] * likeliest"),
}  # fmt: skip


BROKEN_DRAFTERS = {
    "proposal of another node": ("2x1", "proposals[index]", "proposals[0]"),
    "children kept by their value": ("2^2", "if exists[index][sibling]:", "if exists[index][sibling] and tokens[index][sibling] < 2:"),
    "one number for all nodes of a level": ("2x1", "[spans[row][0] for row in rows]", "[0 for row in rows]"),
}  # fmt: skip


BROKEN_VERIFIERS = {
    "accepts by the target alone": (rejection, "float(remaining[token]) / float(proposal[token])", "float(remaining[token])"),
    "next sibling by the full target": (rejection, "remaining = residual(remaining, proposal)", "residual(remaining, proposal)"),
    "residual of the root below": (walk, "law, siblings = target[node + 1], children[node + 1]", "law, siblings = target[0], children[node + 1]"),
    "threshold too low": (kseq, "return float(high)", "return 1.0"),
    "threshold not in the residual": (kseq, "share * covered", "covered"),
    "threshold of one guess": (kseq, "coins.accepts(float(target[token]) / (rho * float(draft[token])), sibling)", "coins.accepts(float(target[token]) / float(draft[token]), sibling)"),
    "traversal by uncapped ratios": (traversal, "capped_ratio(ratio, float(remaining[token]), float(proposal[token]))", "ratio * float(remaining[token]) / float(proposal[token])"),
    "traversal leaves the ratio": (traversal, "ratio = 1.0 if mass + (1 - ratio) == 0 else mass / (mass + (1 - ratio))", "pass"),
    "traversal leaves the target": (traversal, "remaining, mass = excess(remaining, proposal, ratio)", "_, mass = excess(remaining, proposal, ratio)"),
    "traversal residual not scaled": (traversal, "excess(remaining, proposal, ratio)", "excess(remaining, proposal)"),
    "traversal draws from the full target": (traversal, "self.randomness.categorical(remaining,", "self.randomness.categorical(self.target[node + 1],"),
    "traversal never goes back": (traversal, "if node != ROOT and not self._keeps(node, len(path), ratio):", "if False:"),
}  # fmt: skip


def caught(law_of_broken):
    """Whether a broken copy moves the law, or trips a check on the way."""
    try:
        return error_of(law_of_broken()) > 1e6 * EXACT
    except (NoiseReusedError, MisuseError, ValueError, IndexError, ZeroDivisionError):
        return True


@pytest.mark.parametrize("bug", BROKEN_POLICIES)
@pytest.mark.parametrize("verify", [REJECT, UP])
def test_a_broken_policy_is_caught(bug, verify):
    tree, module, right, wrong = BROKEN_POLICIES[bug]
    copy = broken(module, right, wrong, without=base.without)
    policy = copy.propose if hasattr(copy, "propose") else copy.switched(hub.propose, top_k.propose, 0.4)
    assert caught(lambda: first_step(tree, policy, verify))


@pytest.mark.parametrize("bug", BROKEN_DRAFTERS)
@pytest.mark.parametrize("verify", [REJECT, UP])
def test_a_broken_drafter_is_caught(bug, verify):
    tree, right, wrong = BROKEN_DRAFTERS[bug]
    copy = broken(tree_drafter, right, wrong)
    assert caught(lambda: first_step(tree, without_replacement.propose, verify, drafter=copy))


@pytest.mark.parametrize("bug", BROKEN_VERIFIERS)
@pytest.mark.parametrize("policy", ["with replacement", "hub"])
def test_a_broken_verifier_is_caught(bug, policy):
    module, right, wrong = BROKEN_VERIFIERS[bug]
    if module is kseq and policy == "hub":
        policy = "with replacement"  # the only guesses that K-SEQ takes
    copy = broken(module, right, wrong)
    if module is walk:
        copy = rebound(rejection, walk_down=copy.walk_down)
    verify = next(
        getattr(copy, name)
        for name in ("reject_by_token", "verify_kseq", "verify_traversal")
        if hasattr(copy, name)
    )
    assert caught(lambda: first_step("2x1", POLICIES[policy], verify))


def test_without_a_bug_nothing_is_caught():
    for policy in POLICIES.values():
        for verify in (REJECT, UP):
            assert not caught(lambda policy=policy, verify=verify: first_step("2x1", policy, verify))
    assert not caught(lambda: first_step("2x1", with_replacement.propose, SEQ))
