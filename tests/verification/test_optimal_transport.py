"""The bounds on acceptance against the linear program, the cut over all sets and real verifiers."""

from itertools import pairwise

import pytest
import torch
from guess_sets import SCHEMES, by_all_cuts, by_linear_program, by_prefixes, law, pairs

from specdec_cli.verification.optimal_transport import hub, top_k, with_replacement, without_replacement

SOLVER = 1e-7  # what HiGHS promises
EXACT = 1e-10
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
sampled_scheme = pytest.mark.parametrize("scheme", ["with replacement", "without replacement"])


@every_scheme
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_bound_is_the_optimum_of_the_linear_program(scheme, count):
    bound, sets = SCHEMES[scheme]
    for vocab_size in (3, 4, 5):
        for target, draft in pairs(vocab_size, number=2):
            best = by_linear_program(target, sets(draft, count))
            assert bound(target, draft, count) == pytest.approx(best, abs=SOLVER)


@every_scheme
@pytest.mark.parametrize(("count", "vocab_size"), [(1, 6), (2, 6), (3, 6), (4, 5), (4, 6)])
def test_every_bound_is_the_least_cut_over_all_sets(scheme, count, vocab_size):
    bound, sets = SCHEMES[scheme]
    for target, draft in pairs(vocab_size, number=1):
        least = by_all_cuts(target, sets(draft, count))
        assert bound(target, draft, count) == pytest.approx(least, abs=EXACT)


@sampled_scheme
@pytest.mark.parametrize("order", ["unsorted", "descending"])
def test_prefixes_of_another_order_miss_the_optimum(scheme, order):
    """The negative control: the comparisons above would notice a wrong order."""
    bound, sets = SCHEMES[scheme]
    missed = []
    for target, draft in pairs(5, number=1):
        ranked = (target / draft).nan_to_num(nan=0).sort(descending=True).indices.tolist()
        order_of = {"unsorted": list(range(5)), "descending": ranked}
        found = sets(draft, 3)
        right = by_prefixes(target, found, _ascending(target, draft))
        assert right == pytest.approx(bound(target, draft, 3), abs=EXACT)
        missed.append(by_prefixes(target, found, order_of[order]) - by_linear_program(target, found))
    assert min(missed) > -SOLVER
    assert max(missed) > 0.01


def _ascending(target, draft):
    ratio = torch.where(draft > 0, target / draft, torch.inf)
    return ratio.sort().indices.tolist()


@pytest.mark.parametrize("bound", [with_replacement, without_replacement, hub])
def test_one_guess_is_accepted_with_one_minus_the_total_variation(bound):
    for target, draft in pairs(6):
        overlap = float(torch.minimum(target, draft).sum())
        assert bound(target, draft, 1) == pytest.approx(overlap, abs=1e-14)


@sampled_scheme
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_guesses_from_the_target_itself_are_always_accepted(scheme, count):
    target = law(torch.Generator().manual_seed(1), 50)
    assert SCHEMES[scheme][0](target, target, count) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("bound", [without_replacement, top_k, hub])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_draft_of_no_more_tokens_than_guesses_has_all_of_them_guessed(bound, count):
    target = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    draft = torch.tensor([0.0, 0.7, 0.0, 0.3], dtype=torch.float64)
    assert bound(target, draft, count) == pytest.approx(0.6, abs=1e-14)


@every_scheme
def test_a_draft_that_is_sure_of_one_token_is_accepted_as_the_target_has_it(scheme):
    target = torch.tensor([0.1, 0.2, 0.7])
    for count in (1, 2, 3, 4):
        bound = SCHEMES[scheme][0](target, torch.tensor([0.0, 1.0, 0.0]), count)
        assert bound == pytest.approx(0.2, abs=1e-7)


@every_scheme
def test_a_target_that_the_draft_never_guesses_is_never_accepted(scheme):
    target = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.5])
    draft = torch.tensor([0.2, 0.5, 0.3, 0.0, 0.0])
    for count in (1, 2, 3, 4):
        assert SCHEMES[scheme][0](target, draft, count) == pytest.approx(0, abs=1e-12)


def recursive_rejection(target, draft, count, *, replace):
    """The acceptance of recursive rejection, over all the guesses that there may be."""
    if count == 0 or not draft.sum() > 0:
        return 0.0
    proposal = draft / draft.sum()
    overlap = float(torch.minimum(target, proposal).sum())
    left = (target - proposal).clamp(min=0)
    if overlap >= 1 - 1e-15:
        return overlap
    left = left / left.sum()
    accepted = overlap
    for token, prob in enumerate(proposal.tolist()):
        refused = prob - min(prob, float(target[token]))
        if refused > 0:
            others = draft if replace else draft.scatter(0, torch.tensor([token]), 0)
            accepted += refused * recursive_rejection(left, others, count - 1, replace=replace)
    return accepted


@sampled_scheme
@pytest.mark.parametrize("count", [1, 2, 3])
def test_recursive_rejection_never_beats_the_bound(scheme, count):
    bound, gaps = SCHEMES[scheme][0], []
    for target, draft in pairs(5):
        reached = recursive_rejection(target, draft, count, replace=scheme == "with replacement")
        gaps.append(bound(target, draft, count) - reached)
    assert min(gaps) > -1e-12
    assert max(gaps) < 1e-12 if count == 1 else max(gaps) > 0.001


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_hub_rule_attains_its_bound(count):
    """One rejection of the sampled guess, then the hubs, which the token drawn from the residual may be."""
    for target, draft in pairs(6):
        hubs = draft.topk(count - 1).indices
        rest = draft.scatter(0, hubs, 0)
        proposal = rest / rest.sum() if rest.sum() > 0 else rest
        residual = (target - proposal).clamp(min=0)
        served = float(residual[hubs[draft[hubs] > 0]].sum())
        assert hub(target, draft, count) == pytest.approx(
            float(torch.minimum(target, proposal).sum()) + served, abs=1e-12
        )


@sampled_scheme
def test_another_guess_never_lowers_the_bound(scheme):
    bound = SCHEMES[scheme][0]
    for target, draft in pairs(7, number=1):
        bounds = [bound(target, draft, count) for count in range(1, 8)]
        assert all(after >= before - 1e-12 for before, after in pairwise(bounds))


def test_guesses_that_differ_are_worth_at_least_as_much_as_guesses_that_may_not():
    for target, draft in pairs(8, number=2):
        for count in (2, 3, 4):
            different = without_replacement(target, draft, count)
            assert different >= with_replacement(target, draft, count) - 1e-12
