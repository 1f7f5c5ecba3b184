"""Guesses are copied where the text repeats itself; elsewhere a model is asked, which was told everything."""

from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.drafting.ngram_first import NgramFirstDrafter
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.tree import TokenTree

CHANCE = SeededRandomness(0)
GUESS = TokenTree.chain([70, 71])


class Model:
    """Guesses the same always, and notes what it is told."""

    forward_seconds = 3.0

    def __init__(self):
        self.told = []

    def begin(self, prompt):
        self.told.append(("begin", tuple(prompt)))

    def propose(self, position, depth, randomness):
        return GUESS

    def commit(self, path, tokens):
        self.told.append((tuple(path), tuple(tokens)))


def test_a_run_seen_before_is_copied_and_the_model_reads_it_as_text():
    model = Model()
    drafter = NgramFirstDrafter(NgramDrafter(3, 4, 4, 1, shortest=3), model)
    drafter.begin([1, 2, 3, 9, 8, 1, 2, 3])
    assert drafter.propose(8, 5, CHANCE) == TokenTree.chain([9, 8, 1, 2])
    drafter.commit([0, 1], [9, 8, 5])
    assert drafter.propose(11, 5, CHANCE) is GUESS
    drafter.commit([0], [70, 6])
    assert model.told == [("begin", (1, 2, 3, 9, 8, 1, 2, 3)), ((), (9, 8, 5)), ((0,), (70, 6))]
    assert drafter.forward_seconds == 3.0


def test_a_shorter_run_than_was_asked_for_is_left_to_the_model():
    drafter = NgramFirstDrafter(NgramDrafter(3, 4, 4, 1, shortest=3), Model())
    drafter.begin([2, 3, 9, 8, 1, 2, 3])
    assert drafter.propose(7, 5, CHANCE) is GUESS
