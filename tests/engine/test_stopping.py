"""Texts end exactly where they should, also in the middle of an accepted run."""

import pytest

from specdec_cli.audit.toys import SampledLaw, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting.best_first import BestFirstDrafter, TreeShape
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.drafting.ranking import DraftRanking
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.engine.text import Stops
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token

LETTERS = "abcde"


def decode_letters(tokens):
    return "".join(LETTERS[token] for token in tokens)


def run(stopping, gamma=3, seed=0, law=None):
    law = law or ToyLaw(5, 1)
    drafter = ChainDrafter(ToyDraftModel(law), gamma, Sampling(), 5) if gamma else NoDrafter()
    roles = Roles(ToyTarget(law), drafter, reject_by_token)
    return list(decode([0], roles, SeededRandomness(seed), stopping))


def emitted(steps):
    return [token for step in steps for token in step.tokens]


@pytest.mark.parametrize("max_tokens", range(1, 12))
@pytest.mark.parametrize("gamma", [0, 1, 3, 8])
def test_the_number_of_tokens_is_exact(max_tokens, gamma):
    steps = run(Stopping(max_tokens), gamma)
    assert len(emitted(steps)) == max_tokens
    assert [step.finish_reason for step in steps] == [None] * (len(steps) - 1) + ["length"]


def test_a_stop_token_inside_an_accepted_run_ends_the_text_there():
    inside = 0
    for seed in range(40):
        steps = run(Stopping(30, Stops(frozenset({2}))), gamma=6, seed=seed)
        tokens = emitted(steps)
        if steps[-1].finish_reason == "stop":
            assert tokens.index(2) == len(tokens) - 1
            inside += steps[-1].accepted == len(steps[-1].tokens)
            assert steps[-1].accepted <= len(steps[-1].tokens)
        else:
            assert 2 not in tokens
            assert len(tokens) == 30
    assert inside > 5


def test_a_stop_string_ends_the_text_with_the_token_that_completes_it():
    for seed in range(40):
        steps = run(Stopping(40, Stops(strings=("ba", "ccc")), decode_letters), gamma=5, seed=seed)
        text = decode_letters(emitted(steps))
        if steps[-1].finish_reason == "stop":
            assert text.endswith(("ba", "ccc"))
            assert "ba" not in text[:-1]
            assert "ccc" not in text[:-1]
        else:
            assert "ba" not in text
            assert "ccc" not in text


def test_a_stop_string_across_steps_is_seen():
    stopping = Stopping(9, Stops(strings=("abc",)), decode_letters)
    assert stopping.cut([4, 0]) == (2, None)
    assert stopping.cut([1]) == (1, None)
    assert stopping.cut([2, 3, 4]) == (1, "stop")


def test_a_stop_string_does_not_look_back_into_a_prompt_that_it_is_not_told_of():
    law = SampledLaw(5, 3, Sampling(0.0))
    first = emitted(run(Stopping(1), 0, law=law))[0]
    stopping = Stopping(5, Stops(strings=(LETTERS[0] + LETTERS[first],)), decode_letters)
    assert len(emitted(run(stopping, 0, law=law))) == 5


def test_a_tree_never_reaches_past_the_last_token():
    law = ToyLaw(5, 1)
    shape = TreeShape(budget=50, beams=50, depth=9, branches=5)
    for length in range(1, 7):
        drafter = BestFirstDrafter(ToyDraftModel(law), shape, DraftRanking(1.0), 5)
        roles = Roles(ToyTarget(law), drafter, follow_own_sample)
        position = 0
        for step in decode([0], roles, SeededRandomness(1), Stopping(length)):
            assert position + step.depth + 1 <= length
            position += len(step.tokens)
        assert position == length


def test_stop_strings_without_a_decoder_are_refused():
    with pytest.raises(ValueError, match="decode"):
        Stopping(3, Stops(strings=("x",)))
