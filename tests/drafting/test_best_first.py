"""The best-first tree is the best subtree there is: compared with a search of the whole tree."""

import math

import pytest
from paths import tree_path

from specdec_cli.audit.toys import ToyDraftModel, ToyLaw
from specdec_cli.drafting.best_first import BestFirstDrafter, TreeShape
from specdec_cli.drafting.ranking import DraftRanking
from specdec_cli.sampling.randomness import SeededRandomness

VOCAB_SIZE = 4
CHANCE = SeededRandomness(0)


def propose(shape, law, depth=10, context=10**6, temperature=1.0):
    model = ToyDraftModel(law, context)
    drafter = BestFirstDrafter(model, shape, DraftRanking(temperature), VOCAB_SIZE)
    drafter.begin([1, 2])
    return drafter.propose(2, depth, CHANCE), model


def all_paths(law, text, depth, decay):
    """Every path down to a depth with its score."""
    scores: dict[tuple[int, ...], float] = {}
    level: dict[tuple[int, ...], float] = {(): 0.0}
    for _ in range(depth):
        level = {
            (*path, token): score + math.log(prob) + math.log(decay)
            for path, score in level.items()
            for token, prob in enumerate(law([*text, *path]).tolist())
            if prob > 0
        }
        scores |= level
    return scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [1, 3, 8, 20])
@pytest.mark.parametrize("decay", [0.95, 1.0])
def test_with_room_to_search_the_tree_holds_the_best_nodes_of_all(seed, budget, decay):
    law = ToyLaw(VOCAB_SIZE, seed)
    shape = TreeShape(budget, beams=99, depth=5, branches=VOCAB_SIZE, decay=decay)
    tree, _ = propose(shape, law)
    found = {tuple(tree_path(tree, node)) for node in range(len(tree))}
    scores = all_paths(law, [1, 2], 5, decay)
    worst = sorted(scores.values(), reverse=True)[budget - 1]
    assert len(found) == budget
    assert all(scores[path] >= worst - 1e-12 for path in found)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_limits_are_kept_and_siblings_differ(beams):
    law = ToyLaw(VOCAB_SIZE, 9)
    shape = TreeShape(budget=12, beams=beams, depth=4, branches=2)
    tree, model = propose(shape, law)
    assert len(tree) <= 12
    assert max(tree.depths()) <= 4
    assert model.passes <= 4
    for siblings in tree.children():
        assert len(siblings) <= 2
        assert len({tree.tokens[node] for node in siblings}) == len(siblings)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_depth_asked_for_bounds_the_tree(depth):
    tree, model = propose(TreeShape(40, 40, 8, VOCAB_SIZE), ToyLaw(VOCAB_SIZE, 1), depth=depth)
    assert max(tree.depths(), default=0) == depth
    assert model.passes == depth


def test_near_the_end_of_its_context_a_draft_guesses_no_further():
    tree, _ = propose(TreeShape(40, 40, 8, VOCAB_SIZE), ToyLaw(VOCAB_SIZE, 1), context=4)
    assert max(tree.depths()) == 2
    tree, model = propose(TreeShape(40, 40, 8, VOCAB_SIZE), ToyLaw(VOCAB_SIZE, 1), context=2)
    assert (len(tree), model.passes) == (0, 0)


def test_nodes_below_the_least_log_probability_are_left_out():
    law = ToyLaw(VOCAB_SIZE, 3)
    tree, _ = propose(TreeShape(99, 99, 4, VOCAB_SIZE, min_log_prob=-2.0, decay=1.0), law)
    expected = {path for path, score in all_paths(law, [1, 2], 4, 1.0).items() if score > -2.0}
    assert {tuple(tree_path(tree, node)) for node in range(len(tree))} == expected


def test_impossible_tokens_are_never_guessed():
    law = ToyLaw(VOCAB_SIZE, 8, zeros=True)
    tree, _ = propose(TreeShape(99, 99, 3, VOCAB_SIZE), law)
    for node in range(len(tree)):
        path = tree_path(tree, node)
        assert law([1, 2, *path[:-1]])[path[-1]] > 0


def test_greedy_text_still_gets_a_tree_with_second_choices():
    tree, _ = propose(TreeShape(8, 4, 3, 2), ToyLaw(VOCAB_SIZE, 4), temperature=0.0)
    assert any(len(siblings) > 1 for siblings in tree.children())


def test_tokens_beyond_the_targets_vocabulary_are_never_guessed():
    model = ToyDraftModel(ToyLaw(VOCAB_SIZE, 2))
    drafter = BestFirstDrafter(model, TreeShape(30, 30, 3, VOCAB_SIZE), DraftRanking(1.0), vocab_size=2)
    drafter.begin([1, 1])
    tree = drafter.propose(2, 3, CHANCE)
    assert set(tree.tokens) == {0, 1}


@pytest.mark.parametrize("seed", range(60))
def test_without_decay_a_near_certain_child_never_outlives_its_parent(seed):
    """Log-probabilities near 0, where a score in single precision can exceed its parent's."""
    flat = ToyLaw(VOCAB_SIZE, seed)

    def law(text):
        sharp = flat(text) ** 25
        return sharp / sharp.sum()

    tree, _ = propose(TreeShape(budget=6, beams=4, depth=8, branches=4, decay=1.0), law)
    assert len(tree) == 6
