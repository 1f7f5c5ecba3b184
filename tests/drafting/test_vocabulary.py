"""A draft with logits for a few tokens only: what is chosen among them is what would be chosen among all."""

import pytest
import torch
from planting import broken, rebound

from specdec_cli.audit.enumeration import EXACT, distance, law_of, law_of_text
from specdec_cli.audit.toys import ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting import best_first, chain, ranking, tree_drafter, vocabulary
from specdec_cli.drafting.policies import policy
from specdec_cli.drafting.shapes import parse_tree
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.verification.rejection import reject_by_token

VOCAB_SIZE = 4
KNOWN = torch.tensor([1, 3])
PROMPT = (1, 0, 3)
POLICIES = ("with_replacement", "without_replacement", "hub", "top_k")
SHAPE = best_first.TreeShape(budget=6, beams=2, depth=3, branches=2)


class Restricted:
    """A law whose tokens outside `KNOWN` are impossible; no two of the others are equally likely."""

    def __init__(self, law):
        self._law = law

    def __call__(self, text):
        kept = torch.zeros(VOCAB_SIZE, dtype=torch.float64)
        kept[KNOWN] = self._law(text)[KNOWN] * (1 + 0.001 * KNOWN)
        return kept / kept.sum()


def drafters(model, sampling):
    made = {
        "chain": chain.ChainDrafter(model, 3, sampling, VOCAB_SIZE),
        "best first": best_first.BestFirstDrafter(model, SHAPE, ranking.DraftRanking(1.0), VOCAB_SIZE),
        "coupled": best_first.BestFirstDrafter(model, SHAPE, ranking.CoupledRanking(sampling), VOCAB_SIZE),
    }
    for name in POLICIES:
        made[name] = tree_drafter.TreeDrafter(model, parse_tree("2x2"), policy(name), sampling, VOCAB_SIZE)
    return made


NAMES = list(drafters(ToyDraftModel(ToyLaw(VOCAB_SIZE, 0)), Sampling()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7, top_p=0.8), Sampling(1.0, top_k=2), Sampling(0.0)]
)
def test_trees_and_proposals_are_those_of_a_draft_that_finds_the_other_tokens_impossible(name, sampling):
    law = Restricted(ToyLaw(VOCAB_SIZE, 4))
    trees = []
    for known in (KNOWN, None):
        drafter = drafters(ToyDraftModel(law, vocabulary=known), sampling)[name]
        drafter.begin(PROMPT)
        trees.append([drafter.propose(3, 9, SeededRandomness(seed)) for seed in range(8)])
    for narrow, wide in zip(*trees, strict=True):
        assert (narrow.tokens, narrow.parents) == (wide.tokens, wide.parents)
        assert narrow.scores == pytest.approx(wide.scores)
        for ours, theirs in zip(narrow.proposals, wide.proposals, strict=True):
            torch.testing.assert_close(ours, theirs, atol=EXACT, rtol=0)


def text_error(drafter):
    """How far the law of a text of several steps is from the target's."""
    target_law = ToyLaw(VOCAB_SIZE, 7)

    def program(randomness):
        steps = decode(
            PROMPT, Roles(ToyTarget(target_law), drafter, reject_by_token), randomness, Stopping(3)
        )
        return tuple(token for step in steps for token in step.tokens)

    return distance(law_of(program), law_of_text(target_law, PROMPT, 3))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("return choice if self._tokens is None else int(self._tokens[choice])", "return choice"),
        (
            "return spread(probs, self._tokens, self._vocab_size, 0.0)",
            "return spread(probs, None, self._vocab_size, 0.0)",
        ),
    ],
    ids=["tokens named by their index", "proposals not spread"],
)
def test_a_mix_up_of_indices_and_ids_is_caught(right, wrong):
    mixed_up = rebound(chain, DraftVocabulary=broken(vocabulary, right, wrong).DraftVocabulary)
    model = ToyDraftModel(ToyLaw(VOCAB_SIZE, 5), vocabulary=KNOWN)
    assert text_error(chain.ChainDrafter(model, 2, Sampling(), VOCAB_SIZE)) < EXACT
    drafter = mixed_up.ChainDrafter(model, 2, Sampling(), VOCAB_SIZE)
    try:
        error = text_error(drafter)
    except ZeroDivisionError:  # a token that its own proposal gives no chance
        error = 1.0
    assert error > 1e-3


def test_vocabulary_sizes_differ_by_padding_only():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert DraftVocabulary(None, 2).wide(logits).tolist() == [[1.0, 2.0]]
    padded = DraftVocabulary(None, 4).wide(logits)
    assert padded.tolist() == [[1.0, 2.0, 3.0, float("-inf")]]
    assert distribution(padded, Sampling())[0, 3] == 0


def test_known_tokens_beyond_the_targets_vocabulary_are_left_out():
    known = DraftVocabulary(torch.tensor([0, 2, 5]), 4)
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert known.known(logits).tolist() == [1.0, 2.0]
    assert known.ids(torch.tensor([1, 0])).tolist() == [2, 0]
    assert known.wide(logits).tolist() == [1.0, float("-inf"), 2.0, float("-inf")]
