"""Guesses and their sets, written out: the best acceptance by a linear program and by cuts over all sets."""

from fractions import Fraction
from itertools import chain, combinations, permutations, product

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from specdec_cli.verification.optimal_transport import hub, top_k, with_replacement, without_replacement


def law(generator, vocab_size, *, zeros=0, spread=1.0):
    """A distribution (V,): the greater the spread the more peaked, with so many tokens impossible."""
    weights = torch.exp(spread * torch.randn(vocab_size, dtype=torch.float64, generator=generator))
    weights[torch.randperm(vocab_size, generator=generator)[:zeros]] = 0
    return weights / weights.sum()


def pairs(vocab_size, number=4):
    """Pairs of target and draft of all kinds: flat and peaked, and with zeros in either."""
    generator = torch.Generator().manual_seed(vocab_size)
    kinds = product((0, 2), (0, 2), (0.5, 4.0))
    for target_zeros, draft_zeros, spread in kinds:
        for _ in range(number):
            target = law(generator, vocab_size, zeros=target_zeros, spread=1.5)
            yield target, law(generator, vocab_size, zeros=draft_zeros, spread=spread)


def exactly(draft):
    weights = [Fraction(float(weight)) for weight in draft]
    return [weight / sum(weights) for weight in weights]


def sets_with_replacement(draft, count):
    """{set of guesses: probability}, exact."""
    probs = exactly(draft)
    found: dict[frozenset[int], Fraction] = {}
    for guesses in product(range(len(probs)), repeat=count):
        weight = Fraction(1)
        for token in guesses:
            weight *= probs[token]
        _add(found, guesses, weight)
    return found


def sets_without_replacement(draft, count):
    probs = exactly(draft)
    found: dict[frozenset[int], Fraction] = {}
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
