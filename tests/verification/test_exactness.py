"""Every verifier emits the target's own law: shown by walking all paths of chance, over one step and several.

`prefix` laws are continued by the target to a common length, so the law of a whole text is compared, not only
that of its first token.
"""

import pytest
import torch
from paths import is_path

from specdec_cli.audit.enumeration import EXACT, completed, distance, law_of, law_of_text
from specdec_cli.audit.toys import SampledLaw, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting.best_first import BestFirstDrafter, TreeShape
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.drafting.ngram_first import NgramFirstDrafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.drafting.ranking import DraftRanking
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.errors import InputError
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.sampling.randomness import drafting
from specdec_cli.tree import TokenTree
from specdec_cli.verification.block import verify_block
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token

VOCAB_SIZE = 3
PROMPT = (0, 1, 0)
SAMPLED = Sampling()
GREEDY = Sampling(0.0)


def chain(gamma, law):
    return ChainDrafter(ToyDraftModel(law), gamma, SAMPLED, VOCAB_SIZE)


def copying(length, drafter):
    """After any token that stood before, what followed it; the drafter's guess elsewhere."""
    return NgramFirstDrafter(NgramDrafter(1, length, length, 1), drafter)


def best_first(budget, law, beams=2, branches=2):
    shape = TreeShape(budget=budget, beams=beams, depth=3, branches=branches)
    return BestFirstDrafter(ToyDraftModel(law), shape, DraftRanking(1.0), VOCAB_SIZE)


METHODS = {
    "autoregressive": (lambda law: NoDrafter(), follow_own_sample),
    "sps-1": (lambda law: chain(1, law), reject_by_token),
    "sps-2": (lambda law: chain(2, law), reject_by_token),
    "sps-block-1": (lambda law: chain(1, law), verify_block),
    "sps-block-2": (lambda law: chain(2, law), verify_block),
    "specexec-1": (lambda law: best_first(1, law), follow_own_sample),
    "specexec-4": (lambda law: best_first(4, law), follow_own_sample),
    "specexec-9": (lambda law: best_first(9, law, beams=3, branches=3), follow_own_sample),
    "ngram": (lambda law: NgramDrafter(2, 4, 3, 2), follow_own_sample),
    "ngram, rejected by token": (lambda law: NgramDrafter(2, 4, 3, 2), reject_by_token),
    "ngram, block": (lambda law: NgramDrafter(2, 2, 2, 1), verify_block),
    "ngram, then a chain": (lambda law: copying(2, chain(2, law)), reject_by_token),
    "ngram, then a chain, block": (lambda law: copying(3, chain(2, law)), verify_block),
    "ngram, then a tree": (lambda law: copying(2, best_first(4, law)), follow_own_sample),
}


def text_law(make_drafter, verify, target_law, draft_law, length):
    """The law of a text of `length` tokens out of the engine's loop."""
    drafter = make_drafter(draft_law)

    def program(randomness):
        roles = Roles(ToyTarget(target_law), drafter, verify)
        steps = decode(PROMPT, roles, randomness, Stopping(length))
        return tuple(token for step in steps for token in step.tokens)

    return law_of(program)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("target_law", "draft_law"),
    [
        pytest.param(ToyLaw(VOCAB_SIZE, 1), ToyLaw(VOCAB_SIZE, 2), id="overlapping"),
        pytest.param(
            ToyLaw(VOCAB_SIZE, 3, zeros=True), ToyLaw(VOCAB_SIZE, 4, zeros=True), id="with-impossible-tokens"
        ),
        pytest.param(ToyLaw(VOCAB_SIZE, 5), ToyLaw(VOCAB_SIZE, 5), id="identical"),
        pytest.param(SampledLaw(VOCAB_SIZE, 6, GREEDY), ToyLaw(VOCAB_SIZE, 7), id="greedy-target"),
        pytest.param(SampledLaw(VOCAB_SIZE, 6, GREEDY), SampledLaw(VOCAB_SIZE, 8, GREEDY), id="both-greedy"),
    ],
)
def test_a_text_of_several_steps_follows_the_target_exactly(method, target_law, draft_law):
    emitted = text_law(*METHODS[method], target_law, draft_law, length=4)
    assert distance(emitted, law_of_text(target_law, PROMPT, 4)) < EXACT


@pytest.mark.parametrize("method", ["sps-2", "sps-block-2", "specexec-4", "ngram"])
def test_these_texts_take_at_least_three_steps_of_which_some_accept_and_some_reject(method):
    make_drafter, verify = METHODS[method]
    drafter = make_drafter(ToyLaw(VOCAB_SIZE, 2))
    accepted: set[int] = set()
    steps_taken: set[int] = set()

    def program(randomness):
        steps = list(
            decode(PROMPT, Roles(ToyTarget(ToyLaw(VOCAB_SIZE, 1)), drafter, verify), randomness, Stopping(4))
        )
        accepted.update(step.accepted for step in steps)
        steps_taken.add(len(steps))

    law_of(program)
    assert {0, 1} <= accepted
    assert max(steps_taken) >= 3


TREES = {
    "one": [-1],
    "chain of 3": [-1, 0, 1],
    "2^2": [-1, -1, 0, 0, 1, 1],
    "two, then one under the second": [-1, -1, 1],
    "asymmetric": [-1, -1, 0, 0, 2],
}


def sampled_tree(parents, draft_law, randomness):
    """A tree whose siblings are drawn without replacement, each with the proposal it was drawn from."""
    tokens: list[int] = []
    proposals: list[torch.Tensor] = []
    texts: list[tuple[int, ...]] = [()]
    for node, parent in enumerate(parents):
        probs = draft_law([*PROMPT, *texts[parent + 1]]).clone()
        for sibling in range(node):
            if parents[sibling] == parent:
                probs[tokens[sibling]] = 0
        if probs.sum() == 0:
            break
        probs = probs / probs.sum()
        tokens.append(randomness.categorical(probs, drafting(node, 10**6)))
        proposals.append(probs)
        texts.append((*texts[parent + 1], tokens[-1]))
    return TokenTree(tuple(tokens), tuple(parents[: len(tokens)]), tuple(proposals))


@pytest.mark.parametrize("shape", TREES)
@pytest.mark.parametrize("verify", [reject_by_token, follow_own_sample])
@pytest.mark.parametrize("seed", [11, 12])
def test_sampled_trees_of_any_shape_keep_the_law(shape, verify, seed):
    target_law, draft_law = ToyLaw(VOCAB_SIZE, seed), ToyLaw(VOCAB_SIZE, seed + 100)

    def program(randomness):
        tree = sampled_tree(TREES[shape], draft_law, randomness)
        target = ToyTarget(target_law)
        target.begin(PROMPT)
        verdict = verify(tree, target.score(tree), randomness, len(PROMPT))
        assert is_path(tree, verdict.path)
        return (*(tree.tokens[node] for node in verdict.path), verdict.next_token)

    emitted = completed(law_of(program), target_law, PROMPT, 4)
    assert distance(emitted, law_of_text(target_law, PROMPT, 4)) < EXACT


def test_samples_with_replacement_keep_the_law_when_twins_are_judged_one_by_one():
    target_law, draft_law = ToyLaw(VOCAB_SIZE, 21), ToyLaw(VOCAB_SIZE, 22)

    def program(randomness):
        probs = draft_law(PROMPT)
        tokens = [randomness.categorical(probs, drafting(3, 3, sibling)) for sibling in range(3)]
        tree = TokenTree(tuple(tokens), (-1, -1, -1), (probs, probs, probs))
        target = ToyTarget(target_law)
        target.begin(PROMPT)
        verdict = reject_by_token(tree, target.score(tree), randomness, len(PROMPT))
        return (*(tree.tokens[node] for node in verdict.path), verdict.next_token)

    emitted = completed(law_of(program), target_law, PROMPT, 2)
    assert distance(emitted, law_of_text(target_law, PROMPT, 2)) < EXACT


def test_continuous_noise_is_refused_with_what_to_do_instead():
    with pytest.raises(InputError, match="no paths to enumerate") as caught:
        law_of(lambda chance: tuple(chance.exponentials(torch.arange(2), drafting(0, 0)).tolist()))
    assert "--coupled" in caught.value.hint
