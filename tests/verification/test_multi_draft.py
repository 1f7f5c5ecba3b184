"""Multi-draft methods: exact for every policy, verifier and tree, and no worse than they are said to be."""

import pytest
import torch
from tree_toys import POLICIES, first_step

from specdec_cli.audit.enumeration import EXACT, distance
from specdec_cli.audit.exact import PROMPT, VOCAB_SIZE, cases, check
from specdec_cli.audit.toys import ToyLaw
from specdec_cli.drafting.policies import hub, top_k, with_replacement, without_replacement
from specdec_cli.registry.methods import METHODS
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.verification import kseq, optimal_transport, rejection, traversal, walk
from specdec_cli.verification.block import verify_block

CASES = list(cases([name for name, method in METHODS.items() if not method.is_ensemble]))


def words(settings):
    parts = (settings.method, settings.verify, settings.tree or "", f"t{settings.temperature}")
    return " ".join((*parts, settings.draft, "switched" if settings.hub_above else "")).strip()


@pytest.mark.parametrize("settings", CASES, ids=words)
def test_a_text_of_several_steps_follows_the_target_exactly(settings):
    found = check(settings, seed=1)
    assert found.error is None
    assert found.distance < EXACT


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
    laws = {"target": ToyLaw(VOCAB_SIZE, seed), "draft": ToyLaw(VOCAB_SIZE, seed + 50)}
    block = first_step("1x1x1", with_replacement.propose, verify_block, **laws, length=4)
    up = first_step("1x1x1", with_replacement.propose, traversal.verify_traversal, **laws, length=4)
    assert distance(block, up) < EXACT


def acceptance(policy, verify, count, seed):
    """Of one level: how often a guess is accepted, and the target's and the draft's distribution."""
    laws = {"target": ToyLaw(VOCAB_SIZE, seed), "draft": ToyLaw(VOCAB_SIZE, seed + 50)}
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
    """SpecHub as published: of the pair (x, hub) or (hub, x), p(hub) + sum min(p, m) is accepted."""
    accepted, target, draft = acceptance(hub.propose, rejection.reject_by_token, 2, 2)
    top = int(draft.argmax())
    others = [token for token in range(VOCAB_SIZE) if token != top]
    expected = float(target[top]) + sum(
        min(float(target[token]), float(draft[token]) / (1 - float(draft[top]))) for token in others
    )
    assert accepted == pytest.approx(expected, abs=EXACT)


def test_the_second_of_duplicates_that_k_seq_accepts_goes_on_below_the_first():
    probs = torch.tensor([1.0, 0.0], dtype=torch.float64)
    flips = iter([False, True])

    class Flips(walk.Coins):
        def accepts(self, probability, sibling):
            return next(flips)

    coins = Flips(SeededRandomness(0), position=0, start=0)
    assert kseq.threshold_selection([0, 0], [probs, probs], probs, coins) == 0
