"""Where the target's own sample is emitted, the same seed gives the same text whatever was guessed."""

import pytest
import torch
from random_models import ARCHITECTURES, CONTEXT, VOCABULARY, plain_logits, random_model, random_tokens

from specdec_cli.drafting.best_first import BestFirstDrafter, TreeShape
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.drafting.ranking import DraftRanking
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.runner.target import ModelTarget
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.verification.block import verify_block
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token

LENGTH = 24


@pytest.fixture(scope="module")
def models():
    """A target, and a draft that is the target with some noise on its weights, so that it is often right."""
    target = random_model(ARCHITECTURES["llama"](), seed=1)
    draft = random_model(ARCHITECTURES["llama"](), seed=1)
    generator = torch.Generator().manual_seed(2)
    for weight in draft.parameters():
        weight += 0.02 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return target, draft


def text_of(models, drafter, verify, prompt, sampling, seed, length=LENGTH):
    target = ModelTarget(Runner(HFForward(models[0]), CONTEXT), sampling)
    steps = decode(prompt, Roles(target, drafter, verify), SeededRandomness(seed), Stopping(length))
    return [(step.accepted, step.tokens) for step in steps]


def tokens(steps):
    return [token for _, emitted in steps for token in emitted]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_specexec_at_any_budget_gives_the_text_of_plain_decoding_on_50_prompts(models, temperature):
    sampling = Sampling(temperature)
    accepted = 0
    for number in range(50):
        prompt = random_tokens(3 + number % 7, number)
        plain = tokens(text_of(models, NoDrafter(), follow_own_sample, prompt, sampling, number))
        assert len(plain) == LENGTH
        budget = (1, 2, 5, 16, 64)[number % 5]
        shape = TreeShape(budget=budget, beams=4, depth=6, branches=4)
        draft = Runner(HFForward(models[1]), CONTEXT)
        drafter = BestFirstDrafter(draft, shape, DraftRanking(temperature), VOCABULARY)
        steps = text_of(models, drafter, follow_own_sample, prompt, sampling, number)
        assert tokens(steps) == plain
        accepted += sum(count for count, _ in steps)
    assert accepted > 50  # the draft was not idle


def test_ngram_gives_the_text_of_plain_decoding(models):
    sampling = Sampling(0.5)
    for number in range(10):
        prompt = random_tokens(4, number) * 4
        plain = text_of(models, NoDrafter(), follow_own_sample, prompt, sampling, number)
        guessed = text_of(models, NgramDrafter(3, 16, 6, 4), follow_own_sample, prompt, sampling, number)
        assert tokens(guessed) == tokens(plain)


@pytest.mark.parametrize("verify", [reject_by_token, verify_block])
def test_greedy_chains_give_the_greedy_text(models, verify):
    for number in range(10):
        prompt = random_tokens(5, 100 + number)
        draft = ChainDrafter(Runner(HFForward(models[1]), CONTEXT), 4, Sampling(0.0), VOCABULARY)
        steps = text_of(models, draft, verify, prompt, Sampling(0.0), number)
        expected = list(prompt)
        for _ in range(LENGTH):
            expected.append(int(plain_logits(models[0], expected)[0].argmax()))
        assert tokens(steps) == expected[len(prompt) :]
        assert any(count for count, _ in steps)


def test_a_perfect_draft_is_always_accepted(models):
    for verify in (reject_by_token, verify_block):
        sampling = Sampling(1.0)
        draft = ChainDrafter(Runner(HFForward(models[0]), CONTEXT), 3, sampling, VOCABULARY)
        steps = text_of(models, draft, verify, random_tokens(5, 1), sampling, 7, length=20)
        assert [count for count, _ in steps] == [3, 3, 3, 3, 3]


def test_another_seed_gives_another_text(models):
    texts = {
        tuple(tokens(text_of(models, NoDrafter(), follow_own_sample, [1, 2, 3], Sampling(1.0), seed)))
        for seed in range(20)
    }
    assert len(texts) == 20
