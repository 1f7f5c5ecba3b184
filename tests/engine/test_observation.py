"""Levels: every position that was judged, with the target's entropy there, from the real loop."""

import math

import pytest
import torch

from specdec_cli.audit.toys import ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.engine.loop import decode
from specdec_cli.engine.observation import VerifierView, levels, observed
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.distribution import Distributions, Sampling, distribution, entropy
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.tree import TokenTree
from specdec_cli.verification.base import Verdict
from specdec_cli.verification.rejection import reject_by_token

PROMPT = (0, 1, 0)


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
    view = VerifierView(11, tree, Distributions(logits, sampling), Verdict((0,), 8))
    found = levels(view, step(3, 8), done=6)
    assert [(level.position, level.depth, level.accepted) for level in found] == [(6, 1, True), (7, 2, False)]
    for level, row in zip(found, (0, 1), strict=True):
        own = logits[row].softmax(-1)
        assert level.entropy == pytest.approx(float(-(own * own.log()).sum()) / math.log(2), rel=1e-5)
        torch.testing.assert_close(view.plain(row), own)
        torch.testing.assert_close(view.rows[row], distribution(logits[row], sampling))


def test_a_leaf_is_no_level_and_neither_is_what_was_cut() -> None:
    rows = Distributions(torch.randn(3, 5), Sampling())
    chain = VerifierView(0, TokenTree.chain((1, 2)), rows, Verdict((0, 1), 4))
    assert [level.accepted for level in levels(chain, step(1, 2, 4), 0)] == [True, True]
    assert len(levels(chain, step(1), 0)) == 1
    assert levels(VerifierView(0, TokenTree(), rows, Verdict((), 4)), step(4), 0) == []


def toy_run():
    """Roles on toys, and the steps that such roles decode."""
    drafter = ChainDrafter(ToyDraftModel(ToyLaw(4, 1)), 3, Sampling(), 4)
    roles = Roles(ToyTarget(ToyLaw(4, 0)), drafter, reject_by_token)
    return roles, lambda roles: decode(PROMPT, roles, SeededRandomness(0), Stopping(24))


def test_every_step_comes_with_what_its_own_verifier_was_shown_and_is_as_it_was() -> None:
    roles, decoded = toy_run()
    alone = [step.tokens for step in decoded(roles)]
    position, found = len(PROMPT), []
    for step, view in observed(*toy_run()):
        path = [view.tree.tokens[node] for node in view.verdict.path]
        assert view.position == position
        assert step.tokens == tuple([*path, view.verdict.next_token][: len(step.tokens)])
        position += len(step.tokens)
        found.append(step.tokens)
    assert found == alone
    assert len(found) > 3


def test_a_step_that_no_verifier_judged_is_an_error() -> None:
    roles, _ = toy_run()
    with pytest.raises(ValueError, match="no verifier"):
        list(observed(roles, lambda roles: [step(1)]))
