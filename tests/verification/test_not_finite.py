"""A draft whose probabilities are no numbers is refused by every rule that reads them."""

import math

import pytest
import torch

from specdec_cli.audit.toys import ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.errors import NotFiniteError
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import capped_ratio
from specdec_cli.verification.block import verify_block
from specdec_cli.verification.kseq import verify_kseq
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token
from specdec_cli.verification.traversal import verify_traversal

VOCAB_SIZE = 3
PROMPT = (0, 1, 0)
READING = (reject_by_token, verify_block, verify_traversal, verify_kseq)
NUMBERS = {"NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf}


def rows_for(tree):
    target = ToyTarget(ToyLaw(VOCAB_SIZE, 1))
    target.begin(PROMPT)
    return target.score(tree)


def damaged(number, index):
    """A chain of two guesses, certain of the target's favourite, one probability of which is no number."""
    proposals = [torch.full((VOCAB_SIZE,), 1 / 3, dtype=torch.float64) for _ in range(2)]
    proposals[index[0]][index[1]] = number
    return TokenTree.chain([0, 0], proposals)


@pytest.mark.parametrize("verify", READING)
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("token", range(VOCAB_SIZE))
def test_proposals_that_are_no_numbers_are_refused(verify, number, token):
    tree = damaged(number, (0, token))
    with pytest.raises(NotFiniteError, match="not finite"):
        verify(tree, rows_for(tree), SeededRandomness(0), len(PROMPT))


@pytest.mark.parametrize("verify", [verify_block, verify_traversal])
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_rules_that_judge_ahead_refuse_a_broken_second_guess(verify, number):
    tree = damaged(number, (1, 2))
    with pytest.raises(NotFiniteError):
        verify(tree, rows_for(tree), SeededRandomness(0), len(PROMPT))


def test_a_rule_that_reads_no_proposals_does_not_mind_them():
    tree, sound = damaged(math.nan, (0, 0)), TokenTree((0, 0), (ROOT, 0))
    rows = rows_for(tree)
    for seed in range(20):
        chance = SeededRandomness(seed)
        verdict = follow_own_sample(tree, rows, chance, len(PROMPT))
        assert verdict == follow_own_sample(sound, rows, chance, len(PROMPT))


class _Broken(ToyDraftModel):
    """A toy whose logits are no numbers, as a model's are whose weights overflow."""

    def root(self):
        return super().root().fill_(math.nan)


def test_a_chain_of_a_broken_draft_is_not_drawn():
    drafter = ChainDrafter(_Broken(ToyLaw(VOCAB_SIZE, 2)), 2, Sampling(), VOCAB_SIZE)
    drafter.begin(PROMPT)
    with pytest.raises(NotFiniteError):
        drafter.propose(len(PROMPT), 2, SeededRandomness(0))


RATIOS = {
    "below one": ((0.5, 0.2, 0.4), 0.25),
    "capped": ((1.0, 0.4, 0.2), 1.0),
    "impossible to the target": ((1.0, 0.0, 0.5), 0.0),
    "never proposed": ((1.0, 0.4, 0.0), 0.0),
    "NaN above": ((math.nan, 0.5, 0.5), 0.0),
    "NaN from the target": ((1.0, math.nan, 0.5), 0.0),
    "NaN from the draft": ((1.0, 0.5, math.nan), 0.0),
    "infinite draft": ((1.0, 0.5, math.inf), 0.0),
    "infinity over infinity": ((1.0, math.inf, math.inf), 0.0),
}


@pytest.mark.parametrize(("numbers", "expected"), RATIOS.values(), ids=RATIOS)
def test_the_capped_ratio_is_a_number_or_zero(numbers, expected):
    assert capped_ratio(*numbers) == pytest.approx(expected, abs=1e-15)
