"""The bounds on acceptance against the linear program, the cut over all sets and sums over all guesses."""

from fractions import Fraction
from itertools import chain, combinations, pairwise, permutations, product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from specdec_cli.verification import optimal_transport
from specdec_cli.verification.optimal_transport import hub, top_k, with_replacement, without_replacement

SOLVER = 1e-7  # what HiGHS promises
EXACT = 1e-10
LARGE = 49152


def law(generator, width, *, zeros=0, spread=1.0):
    """A distribution (V,): the greater the spread the more peaked, with so many tokens impossible."""
    weights = torch.exp(spread * torch.randn(width, dtype=torch.float64, generator=generator))
    weights[torch.randperm(width, generator=generator)[:zeros]] = 0
    return weights / weights.sum()


def pairs(width, number=4):
    """Pairs of target and draft of all kinds: flat and peaked, and with zeros in either."""
    generator = torch.Generator().manual_seed(width)
    kinds = product((0, 2), (0, 2), (0.5, 4.0))
    for target_zeros, draft_zeros, spread in kinds:
        for _ in range(number):
            target = law(generator, width, zeros=target_zeros, spread=1.5)
            yield target, law(generator, width, zeros=draft_zeros, spread=spread)


def exactly(draft):
    weights = [Fraction(float(weight)) for weight in draft]
    return [weight / sum(weights) for weight in weights]


def sets_with_replacement(draft, count):
    """{set of guesses: probability}, exact."""
    probs, found = exactly(draft), {}
    for guesses in product(range(len(probs)), repeat=count):
        weight = Fraction(1)
        for token in guesses:
            weight *= probs[token]
        _add(found, guesses, weight)
    return found


def sets_without_replacement(draft, count):
    probs, found = exactly(draft), {}
    support = [token for token, prob in enumerate(probs) if prob]
    for guesses in permutations(support, min(count, len(support))):
        weight, rest = Fraction(1), Fraction(1)
        for token in guesses:
            weight, rest = weight * probs[token] / rest, rest - probs[token]
        _add(found, guesses, weight)
    return found


def sets_hub(draft, count):
    probs = exactly(draft)
    ranked = sorted(range(len(probs)), key=lambda token: -probs[token])
    hubs = [token for token in ranked[: count - 1] if probs[token]]
    rest = [token for token in ranked[count - 1 :] if probs[token]]
    total = sum(probs[token] for token in rest)
    return {frozenset([*hubs, token]): probs[token] / total for token in rest} or {
        frozenset(hubs): Fraction(1)
    }


def sets_top_k(draft, count):
    ranked = sorted(
        (token for token in range(len(draft)) if draft[token] > 0), key=lambda token: -draft[token]
    )
    return {frozenset(ranked[:count]): Fraction(1)}


def _add(found, guesses, weight):
    if weight:
        found[frozenset(guesses)] = found.get(frozenset(guesses), 0) + weight


def by_linear_program(target, sets):
    """The most that can be moved from the sets of guesses to the tokens they hold."""
    moves = [(row, token) for row, guesses in enumerate(sets) for token in guesses]
    rows = [row for row, _ in moves] + [len(sets) + token for _, token in moves]
    columns = [*range(len(moves))] * 2
    limits = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(sets) + len(target), len(moves)))
    have = [float(weight) for weight in sets.values()] + target.tolist()
    return -linprog(-np.ones(len(moves)), A_ub=limits.tocsr(), b_ub=have, method="highs").fun


def by_all_cuts(target, sets):
    probs = exactly(target)
    tokens = range(len(probs))
    subsets = chain.from_iterable(combinations(tokens, size) for size in range(len(probs) + 1))
    return float(min(1 + _cut(probs, sets, frozenset(subset)) for subset in subsets))


def _cut(probs, sets, subset):
    inside = sum(weight for guesses, weight in sets.items() if guesses <= subset)
    return sum(probs[token] for token in subset) - inside


def by_prefixes(target, sets, order):
    """The cut over the prefixes of that order only."""
    probs = exactly(target)
    return float(min(1 + _cut(probs, sets, frozenset(order[:size])) for size in range(len(order) + 1)))


SCHEMES = {
    "with replacement": (with_replacement, sets_with_replacement),
    "without replacement": (without_replacement, sets_without_replacement),
    "hub": (hub, sets_hub),
    "top k": (top_k, sets_top_k),
}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
sampled_scheme = pytest.mark.parametrize("scheme", ["with replacement", "without replacement"])


@every_scheme
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_bound_is_the_optimum_of_the_linear_program(scheme, count):
    bound, sets = SCHEMES[scheme]
    for width in (3, 4, 5):
        for target, draft in pairs(width, number=2):
            best = by_linear_program(target, sets(draft, count))
            assert bound(target, draft, count) == pytest.approx(best, abs=SOLVER)


@every_scheme
@pytest.mark.parametrize(("count", "width"), [(1, 6), (2, 6), (3, 6), (4, 5), (4, 6)])
def test_every_bound_is_the_least_cut_over_all_sets(scheme, count, width):
    bound, sets = SCHEMES[scheme]
    for target, draft in pairs(width, number=1):
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


@every_scheme
@pytest.mark.parametrize("count", [1, 2, 3])
def test_float32_gives_what_float64_gives(scheme, count):
    target, draft = (probs.float() for probs in next(iter(pairs(40))))
    bound = SCHEMES[scheme][0]
    assert bound(target, draft, count) == bound(target.double(), draft.double(), count)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("spread", [0.1, 1, 10, 100])
def test_the_race_gives_the_chance_of_guesses_inside_a_prefix_however_peaked_the_draft(count, spread):
    generator = torch.Generator().manual_seed(count)
    for _ in range(2):
        draft = law(generator, 6, spread=spread)
        found = sets_without_replacement(draft, count)
        for size, inside in enumerate(optimal_transport._many_inside(draft, count).tolist(), start=1):
            prefix = frozenset(range(size))
            expected = sum(weight for guesses, weight in found.items() if guesses <= prefix)
            assert inside == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("others", [1e-3, 1e-9, 1e-30, 1e-300])
def test_a_draft_almost_sure_of_one_token_is_bounded_by_how_it_shares_out_the_rest(others):
    """The other guesses are drawn from the rest, however small."""
    rest = law(torch.Generator().manual_seed(3), 5)
    draft = torch.cat((torch.tensor([1.0 - others], dtype=torch.float64), others * rest))
    target = law(torch.Generator().manual_seed(4), 6)
    for count in (2, 3, 4):
        least = by_all_cuts(target, sets_without_replacement(draft, count))
        assert without_replacement(target, draft, count) == pytest.approx(least, abs=EXACT)


def test_probabilities_beneath_the_floats_are_no_trouble():
    target = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    for tiny in (1e-304, 1e-308, 5e-324):
        draft = torch.tensor([1 - 1e-9, 1e-9, tiny, tiny], dtype=torch.float64)
        assert 0.7 <= without_replacement(target, draft, 3) <= 1


def three_inside(draft, size):
    """The chance that three different draws are in the first `size` tokens, as a sum over all pairs: O(V^2).

    By the last draw: the first two are i and j, and the third is in the prefix unless it is outside.
    """
    probs = draft.numpy()
    rest = 1 - probs
    inside, outside = probs[:size], probs[size:].sum()
    pair = inside[:, None] * inside[None] / rest[:size, None]
    third = 1 - outside / (rest[:size, None] - inside[None])
    np.fill_diagonal(pair, 0)
    return float((pair * third).sum())


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_three_guesses_of_many_tokens_match_the_sum_over_all_pairs(spread):
    draft = law(torch.Generator().manual_seed(5), 2000, spread=spread)
    inside = optimal_transport._many_inside(draft, 3)
    for size in (1, 2, 10, 300, 1000, 1700, 1999, 2000):
        assert float(inside[size - 1]) == pytest.approx(three_inside(draft, size), abs=EXACT)


def test_three_guesses_of_a_whole_vocabulary_match_sums_over_groups_of_equal_tokens():
    """With few different probabilities the sum over triples of tokens is one over triples of kinds."""
    weights, sizes = [1.0, 7.0, 3e4, 1e5], [30000, 19100, 50, 2]
    assert sum(sizes) == LARGE
    ratios = [3.0, 0.2, 0.7, 1.1]
    draft = torch.repeat_interleave(torch.tensor(weights, dtype=torch.float64), torch.tensor(sizes))
    target = draft * torch.repeat_interleave(torch.tensor(ratios, dtype=torch.float64), torch.tensor(sizes))
    draft, target = draft / draft.sum(), target / target.sum()
    best = 1.0
    for kinds in chain.from_iterable(combinations(range(4), size) for size in range(5)):
        wanted = sum(ratios[kind] * weights[kind] * sizes[kind] for kind in kinds)
        wanted /= sum(
            ratio * weight * size for ratio, weight, size in zip(ratios, weights, sizes, strict=True)
        )
        best = min(best, 1 + wanted - _three_of_kinds(weights, sizes, kinds))
    shuffled = torch.randperm(LARGE, generator=torch.Generator().manual_seed(6))
    assert without_replacement(target[shuffled], draft[shuffled], 3) == pytest.approx(best, abs=EXACT)
    assert 0.1 < best < 0.99


def _three_of_kinds(weights, sizes, kinds):
    chance = 0.0
    for triple in product(kinds, repeat=3):
        left, rest, weight = list(sizes), float(np.dot(weights, sizes)), 1.0
        for kind in triple:
            weight *= left[kind] * weights[kind] / rest
            rest, left[kind] = rest - weights[kind], left[kind] - 1
        chance += weight
    return chance


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
