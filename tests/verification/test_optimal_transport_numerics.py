"""The bounds on acceptance for extreme numbers: peaked drafts, tiny probabilities, whole vocabularies."""

from itertools import chain, combinations, product

import numpy as np
import pytest
import torch
from guess_sets import SCHEMES, by_all_cuts, law, pairs, sets_without_replacement

from specdec_cli.verification import optimal_transport
from specdec_cli.verification.optimal_transport import without_replacement

EXACT = 1e-10
LARGE = 49152


@pytest.mark.parametrize("scheme", SCHEMES)
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
