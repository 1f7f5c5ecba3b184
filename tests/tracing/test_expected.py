"""The expected number of accepted guesses, beside every draw of the verifier walked one by one."""

import pytest
import torch

from specdec_cli.audit.enumeration import law_of
from specdec_cli.drafting.policies import policy
from specdec_cli.drafting.policies.base import Draws
from specdec_cli.runtime.build import VERIFIERS
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.tracing.expected import expected_accepted
from specdec_cli.tree import TokenTree

VOCAB_SIZE = 5


def laws(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return (1.5 * torch.randn(rows, VOCAB_SIZE, generator=generator, dtype=torch.float64)).softmax(-1)


def drawn_tree(name, counts, seed):
    """A tree filled by a policy from random distributions, two children at the root and one below each."""
    propose, draft, chance = policy(name), laws(9, seed + 1000), SeededRandomness(seed)
    tokens, parents, proposals = [], [], []
    frontier = [-1]
    for level, count in enumerate(counts):
        fresh = []
        for parent in frontier:
            draws = Draws(chance, level, 0, [10 * (parent + 1)])
            children = propose(draft[parent + 1][None], count, draws)
            seen = set()
            for sibling in range(children.tokens.shape[-1]):
                if not children.exists[0, sibling]:
                    continue
                column = children.proposals[sibling]
                tokens.append(int(children.tokens[0, sibling]))
                parents.append(parent)
                proposals.append(None if column is None else column[0])
                if tokens[-1] not in seen:
                    fresh.append(len(tokens) - 1)
                seen.add(tokens[-1])
        frontier = fresh
    return TokenTree(tuple(tokens), tuple(parents), tuple(proposals))


def breadth_first(tree):
    assert all(parent < node for node, parent in enumerate(tree.parents))
    return tree


def walked(verifier, tree, target):
    law = law_of(lambda randomness: (len(verifier(tree, target, randomness, 0).path),))
    return sum(count * weight for (count,), weight in law.items())


CASES = [
    ("own_sample", "top_k", (2, 2)),
    ("own_sample", "without_replacement", (2, 1, 1)),
    ("rejection", "with_replacement", (3, 1)),
    ("rejection", "without_replacement", (2, 2)),
    ("rejection", "hub", (3, 2)),
    ("rejection", "top_k", (2, 2)),
    ("kseq", "with_replacement", (3, 1)),
    ("traversal", "without_replacement", (2, 2)),
    ("traversal", "hub", (2, 2)),
    ("rejection", "without_replacement", (1, 1, 1)),
    ("block", "without_replacement", (1, 1, 1)),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("verifier", "name", "counts"), CASES)
def test_it_is_the_mean_over_every_draw(verifier: str, name: str, counts: tuple[int, ...], seed: int) -> None:
    tree = breadth_first(drawn_tree(name, counts, seed))
    target = laws(len(tree) + 1, seed)
    wanted = walked(VERIFIERS[verifier], tree, target)
    assert expected_accepted(VERIFIERS[verifier], tree, target) == pytest.approx(wanted, abs=1e-12)


def test_the_mean_tells_verifiers_apart() -> None:
    tree = drawn_tree("without_replacement", (2, 2), 0)
    target = laws(len(tree) + 1, 0)
    found = {expected_accepted(VERIFIERS[name], tree, target) for name in ("own_sample", "rejection")}
    assert max(found) - min(found) > 1e-3


def test_no_guesses_none_accepted() -> None:
    assert expected_accepted(VERIFIERS["rejection"], TokenTree(), laws(1, 0)) == 0.0
