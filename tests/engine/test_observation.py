"""Levels: every position that was judged, with the target's entropy there, from the real loop."""

import math

import pytest
import torch

from specdec_cli.engine.observation import VerifierView, levels
from specdec_cli.engine.roles import Step
from specdec_cli.sampling.distribution import Distributions, Sampling, distribution, entropy
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Verdict


def step(*tokens):
    return Step(tokens, accepted=0, drafted=0, depth=0, seconds=0.0, draft_seconds=0.0, target_seconds=0.0)


def test_entropy_is_in_bits_and_knows_nothing_of_impossible_tokens() -> None:
    assert entropy(torch.tensor([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1.5)
    assert entropy(torch.tensor([0.0, 1.0])) == 0.0


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(0.5, top_k=1), Sampling(1.0)])
def test_levels_have_the_plain_entropy_whatever_the_sampling(sampling: Sampling) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 9)
    tree = TokenTree((3, 4, 5), (-1, 0, -1))
    sight = VerifierView(11, tree, Distributions(logits, sampling), Verdict((0,), 8))
    found = levels(sight, step(3, 8), done=6)
    assert [(level.place, level.depth, level.accepted) for level in found] == [(6, 1, True), (7, 2, False)]
    for level, row in zip(found, (0, 1), strict=True):
        own = logits[row].softmax(-1)
        assert level.entropy == pytest.approx(float(-(own * own.log()).sum()) / math.log(2), rel=1e-5)
        torch.testing.assert_close(sight.plain(row), own)
        torch.testing.assert_close(sight.rows[row], distribution(logits[row], sampling))


def test_a_leaf_is_no_level_and_neither_is_what_was_cut() -> None:
    rows = Distributions(torch.randn(3, 5), Sampling())
    chain = VerifierView(0, TokenTree.chain((1, 2)), rows, Verdict((0, 1), 4))
    assert [level.accepted for level in levels(chain, step(1, 2, 4), 0)] == [True, True]
    assert len(levels(chain, step(1), 0)) == 1
    assert levels(VerifierView(0, TokenTree(), rows, Verdict((), 4)), step(4), 0) == []
