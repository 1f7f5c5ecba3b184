"""What followed the same words before is proposed, latest position first."""

from hypothesis import given, settings
from hypothesis import strategies as st
from paths import tree_path

from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.sampling.randomness import SeededRandomness

CHANCE = SeededRandomness(0)


def runs(tokens, size=3, budget=99, depth=4, branches=3, asked=99):
    drafter = NgramDrafter(size, budget, depth, branches)
    drafter.begin(tokens)
    return leaves(drafter.propose(len(tokens), asked, CHANCE))


def leaves(tree):
    return [tree_path(tree, node) for node in range(len(tree)) if node not in tree.parents]


def by_search(tokens, size, depth, branches):
    """The definition, by scanning the text."""
    for length in range(min(size, len(tokens)), min(2, size) - 1, -1):
        ends = [
            end for end in range(len(tokens) - 1, 0, -1)
            if end >= length and tokens[end - length : end] == tokens[len(tokens) - length :]
        ]  # fmt: skip
        if ends:
            return [tokens[end : end + depth] for end in ends[:branches]]
    return []


def test_the_words_that_followed_are_proposed():
    assert runs([1, 2, 3, 9, 8, 7, 1, 2, 3]) == [[9, 8, 7, 1]]


def test_a_text_without_repetition_gets_no_draft():
    assert runs([1, 2, 3, 4]) == []
    assert runs([1, 2, 1]) == []  # one token alone is not looked up, unless asked for
    assert runs([1, 2, 1], size=1) == [[2, 1]]
    assert runs([1]) == []


def test_positions_that_agree_share_a_branch():
    assert runs([5, 5, 1, 2, 5, 5, 1, 3, 5, 5]) == [[1, 3, 5, 5], [1, 2, 5, 5]]


@settings(max_examples=200, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    size=st.integers(1, 4),
    depth=st.integers(1, 5),
    branches=st.integers(1, 4),
)
def test_proposals_are_those_of_a_scan_of_the_text(tokens, size, depth, branches):
    drafter = NgramDrafter(size, 10**6, depth, branches)
    drafter.begin(tokens[:1])
    for token in tokens[1:]:
        drafter.commit((), [token])
    tree = drafter.propose(len(tokens), 99, CHANCE)
    paths = {tuple(tree_path(tree, node)) for node in range(len(tree))}
    expected = by_search(tokens, size, depth, branches)
    assert paths == {tuple(run[:end]) for run in expected for end in range(1, len(run) + 1)}


def test_budget_and_depth_bound_the_tree():
    tokens = [1, 2, 3, 4, 5, 6] * 3
    drafter = NgramDrafter(3, budget=4, depth=9, branches=3)
    drafter.begin(tokens)
    assert len(drafter.propose(18, 99, CHANCE)) == 4
    assert len(drafter.propose(18, 2, CHANCE)) == 2
    assert len(drafter.propose(18, 0, CHANCE)) == 0


def test_a_new_text_forgets_the_old_one():
    drafter = NgramDrafter(2, 9, 9, 9)
    drafter.begin([1, 2, 1, 2, 1])
    drafter.begin([1])
    assert len(drafter.propose(1, 9, CHANCE)) == 0
