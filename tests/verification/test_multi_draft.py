"""Multi-draft methods: exact for every policy, verifier and shape of tree, and each broken copy is caught."""

from itertools import pairwise

import pytest
import torch
from planting import broken, rebound

from specdec_cli.audit.acceptance_bound import AcceptanceCounter, best_acceptance
from specdec_cli.audit.enumeration import (
    EXACT,
    NoiseReusedError,
    completed,
    distance,
    law_of,
    law_of_text,
)
from specdec_cli.audit.exact import LENGTH, PROMPT, WIDTH, cases, check
from specdec_cli.audit.toys import MisuseError, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting import tree_drafter
from specdec_cli.drafting.policies import base, hub, switched, top_k, with_replacement, without_replacement
from specdec_cli.drafting.shapes import parse_tree
from specdec_cli.engine.loop import decode
from specdec_cli.engine.observation import observed
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.registry.methods import METHODS
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.verification import kseq, optimal_transport, rejection, traversal, walk
from specdec_cli.verification.block import verify_block

TARGET, DRAFT = ToyLaw(WIDTH, 3), ToyLaw(WIDTH, 6)
POLICIES = {
    "with replacement": with_replacement.propose,
    "without replacement": without_replacement.propose,
    "hub": hub.propose,
    "top k": top_k.propose,
    "switched": switched.switched(hub.propose, without_replacement.propose, 0.45),
}
CASES = list(cases([name for name, method in METHODS.items() if not method.is_ensemble]))


def words(settings):
    parts = (settings.method, settings.verify, settings.tree or "", f"t{settings.temperature}")
    return " ".join((*parts, settings.draft, "switched" if settings.hub_above else "")).strip()


@pytest.mark.parametrize("settings", CASES, ids=words)
def test_a_text_of_several_steps_follows_the_target_exactly(settings):
    found = check(settings, seed=1)
    assert found.error is None
    assert found.distance < EXACT


def first_step(tree, policy, verify, target=TARGET, draft=DRAFT, drafter=tree_drafter, length=LENGTH):
    """The law of what the first step emits."""

    def program(randomness):
        made = drafter.TreeDrafter(ToyDraftModel(draft), parse_tree(tree), policy, Sampling(), WIDTH)
        roles = Roles(ToyTarget(target), made, verify)
        return next(iter(decode(PROMPT, roles, randomness, Stopping(length)))).tokens

    return law_of(program)


def error_of(law, length=LENGTH, target=TARGET):
    """How far the law of a first step, continued by the target, is from the target's."""
    return distance(completed(law, target, PROMPT, length), law_of_text(target, PROMPT, length))


def mean_length(law):
    return sum(len(tokens) * weight for tokens, weight in law.items())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tree", ["2x1", "2^3", "[-1,-1,1,2]"])
def test_judging_from_the_leaves_up_keeps_no_less_than_from_the_root_down(policy, tree):
    down = mean_length(first_step(tree, POLICIES[policy], rejection.reject_by_token))
    up = mean_length(first_step(tree, POLICIES[policy], traversal.verify_traversal))
    assert up >= down - EXACT


def test_judging_deep_hub_trees_from_the_leaves_up_keeps_more():
    down = mean_length(first_step("2x1", hub.propose, rejection.reject_by_token))
    up = mean_length(first_step("2x1", hub.propose, traversal.verify_traversal))
    assert up > down + 0.001


@pytest.mark.parametrize("seed", range(4))
def test_traversal_of_a_chain_is_block_verification(seed):
    laws = {"target": ToyLaw(WIDTH, seed), "draft": ToyLaw(WIDTH, seed + 50)}
    block = first_step("1x1x1", with_replacement.propose, verify_block, **laws, length=4)
    up = first_step("1x1x1", with_replacement.propose, traversal.verify_traversal, **laws, length=4)
    assert distance(block, up) < EXACT


def acceptance(policy, verify, count, seed):
    """Of one level: how often a guess is accepted, and the target's and the draft's distribution."""
    laws = {"target": ToyLaw(WIDTH, seed), "draft": ToyLaw(WIDTH, seed + 50)}
    law = first_step(str(count), policy, verify, **laws, length=2)
    accepted = sum(weight for tokens, weight in law.items() if len(tokens) == 2)
    return accepted, laws["target"](PROMPT), laws["draft"](PROMPT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_hubs_and_likeliest_tokens_attain_what_their_guesses_allow(count, seed):
    found, target, draft = acceptance(hub.propose, rejection.reject_by_token, count, seed)
    assert found == pytest.approx(optimal_transport.hub(target, draft, count), abs=EXACT)
    found, target, draft = acceptance(top_k.propose, rejection.reject_by_token, count, seed)
    assert found == pytest.approx(optimal_transport.top_k(target, draft, count), abs=EXACT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_samples_accept_no_more_than_they_allow(count, seed):
    found, target, draft = acceptance(with_replacement.propose, rejection.reject_by_token, count, seed)
    bound = optimal_transport.with_replacement(target, draft, count)
    assert found <= bound + EXACT
    found, *_ = acceptance(with_replacement.propose, kseq.verify_kseq, count, seed)
    assert (1 - 1 / torch.e) * bound - EXACT <= found <= bound + EXACT
    found, *_ = acceptance(without_replacement.propose, rejection.reject_by_token, count, seed)
    assert found <= optimal_transport.without_replacement(target, draft, count) + EXACT


def test_a_hub_law_is_that_of_ordered_pairs():
    """SpecHub as published: the pair (x, hub) or (hub, x), by x alone accepted with p(hub) + sum min(p, m)."""
    accepted, target, draft = acceptance(hub.propose, rejection.reject_by_token, 2, 2)
    top = int(draft.argmax())
    others = [token for token in range(WIDTH) if token != top]
    expected = float(target[top]) + sum(
        min(float(target[token]), float(draft[token]) / (1 - float(draft[top]))) for token in others
    )
    assert accepted == pytest.approx(expected, abs=EXACT)


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


def test_a_duplicate_is_kept_and_nothing_grows_below_it():
    model = ToyDraftModel(lambda text: torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    drafter = tree_drafter.TreeDrafter(model, parse_tree("3x2"), with_replacement.propose, Sampling(), WIDTH)
    drafter.begin(PROMPT)

    def program(randomness):
        return drafter.propose(len(PROMPT), 2, randomness)

    (tree,) = law_of(lambda randomness: (program(randomness).tokens, program.__name__))
    assert tree[0] == (0, 0, 0, 0, 0)  # three of one token, and two children of the first alone


@pytest.mark.parametrize("policy", ["without replacement", "hub", "top k", "switched"])
def test_where_a_draft_runs_out_of_tokens_the_likeliest_others_are_guessed_for_certain(policy):
    draft = ToyDraftModel(lambda text: torch.tensor([0.6, 0.3, 0.08, 0.02], dtype=torch.float64))
    for sampling in (Sampling(0.0), Sampling(1.0, top_k=2)):
        drafter = tree_drafter.TreeDrafter(draft, parse_tree("4"), POLICIES[policy], sampling, 4)
        drafter.begin(PROMPT)

        def program(randomness, drafter=drafter):
            tree = drafter.propose(len(PROMPT), 1, randomness)
            outside = [token for token, proposal in zip(tree.tokens, tree.proposals, strict=True)
                       if token >= 2 and proposal is None]  # fmt: skip
            return tuple(sorted(tree.tokens)), tuple(outside)

        assert set(law_of(program)) == {((0, 1, 2, 3), (2, 3))}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tree", ["2", "3", "2x1"])
def test_from_the_root_down_no_more_is_accepted_than_the_bound_allows(policy, tree):
    """Expected acceptance beside the expected bound, over every path of chance; hubs and certainties attain it."""
    totals = {"accepted": 0.0, "possible": 0.0}

    def program(randomness):
        counter = AcceptanceCounter()
        drafter = tree_drafter.TreeDrafter(
            ToyDraftModel(DRAFT), parse_tree(tree), POLICIES[policy], Sampling(), WIDTH
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


def test_the_second_of_duplicates_that_k_seq_accepts_goes_on_below_the_first():
    probs = torch.tensor([1.0, 0.0], dtype=torch.float64)
    flips = iter([False, True])

    class Coins:
        def accepts(self, probability, sibling):
            return next(flips)

    assert kseq.threshold_selection([0, 0], [probs, probs], probs, Coins()) == 0


@pytest.mark.parametrize("method", ["rrsw", "spechub", "topk"])
def test_greedy_trees_are_as_large_as_asked(method):
    law = lambda text: torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)  # noqa: E731
    policy = {"rrsw": without_replacement, "spechub": hub, "topk": top_k}[method].propose
    drafter = tree_drafter.TreeDrafter(ToyDraftModel(law), parse_tree("2x2"), policy, Sampling(0.0), WIDTH)
    drafter.begin(PROMPT)
    assert set(law_of(lambda chance: len(drafter.propose(len(PROMPT), 2, chance)))) == {6}


def tree_tokens(tree, policy, law):
    def program(randomness):
        model = ToyDraftModel(law)
        drafter = tree_drafter.TreeDrafter(model, parse_tree(tree), policy, Sampling(), WIDTH)
        drafter.begin(PROMPT)
        return drafter.propose(len(PROMPT), 9, randomness).tokens

    return program


def test_a_tree_is_cut_where_the_text_or_the_context_ends():
    model = ToyDraftModel(DRAFT, context=len(PROMPT) + 2)
    drafter = tree_drafter.TreeDrafter(
        model, parse_tree("2x1x1"), without_replacement.propose, Sampling(), WIDTH
    )
    drafter.begin(PROMPT)
    depths = law_of(lambda randomness: max(drafter.propose(len(PROMPT), 9, randomness).depths()))
    assert set(depths) == {2}
    assert set(law_of(lambda randomness: len(drafter.propose(len(PROMPT), 0, randomness)))) == {0}


def test_nodes_with_different_numbers_of_children_keep_every_node_with_its_parent():
    """Nodes with different numbers of children go to the policy in groups; each must get its own back."""
    shape = parse_tree("[-1, -1, -1, 0, 2, 2]")
    seen = law_of(tree_shape(shape))
    assert set(seen) == {(-1, -1, -1, 0, 2, 2)}


def tree_shape(shape):
    def program(randomness):
        drafter = tree_drafter.TreeDrafter(ToyDraftModel(DRAFT), shape, top_k.propose, Sampling(), WIDTH)
        drafter.begin(PROMPT)
        tree = drafter.propose(len(PROMPT), 9, randomness)
        assert all(a <= b for a, b in pairwise(tree.depths()))
        return tree.parents

    return program
