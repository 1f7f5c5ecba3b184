"""Level greedy on models: where bits are promised, what differs in a bit fails, and elsewhere it does not."""

from dataclasses import replace

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.audit.models import greedy, parted_texts, seeded_texts
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.runtime.build import VERIFIERS
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.randomness import emitting
from specdec_cli.settings import Settings
from specdec_cli.tree import ROOT
from specdec_cli.verification.base import Verdict

PROMPTS = ("the cat and the dog", "a cat a cat a c")
SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    target = str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP))
    settings = Settings(target=target, draft="layers:1", dtype="float32", max_tokens=24, ignore_eos=True)
    return Session.load(replace(settings, method="specexec"))


def say(what: str) -> None:
    pass


def level(session, method="specexec"):
    settings = replace(session.settings, method=method, seed=3)
    drawn = replace(settings, temperature=1.0)
    plain = seeded_texts(session, drawn, PROMPTS, say)
    return greedy(session, settings, PROMPTS, parted_texts(session, drawn, PROMPTS, plain, say), say)


@pytest.mark.parametrize("method", ["specexec", "sps", "spechub", "autoregressive"])
def test_every_token_every_bit_and_every_seeded_text_is_compared(session, method):
    found = level(session, method)
    assert (found.identical, found.passed) == ("bitwise", True)
    assert (found.tokens, found.best, found.ties, found.wrong) == (48, 48, 0, 0)
    assert (found.bits.moved, found.bits.parted) == (0, 0)
    assert found.bits.seeded == (2 if method == "specexec" else 0)


@pytest.fixture
def rounding(monkeypatch):
    """A pass over several rows gives logits that are the next number above."""
    intact = FusedForward.run

    def run(self, step):
        logits = intact(self, step)
        return logits.nextafter(torch.tensor(torch.inf)) if step.tokens.numel() > 1 else logits

    monkeypatch.setattr(FusedForward, "run", run)


@pytest.mark.usefixtures("rounding")
def test_one_unit_in_the_last_place_between_passes_fails(session):
    found = level(session, "sps")
    assert (found.wrong, found.noise < 1e-5) == (0, True)
    assert (found.bits.moved > 0, found.passed) == (True, False)


@pytest.mark.usefixtures("rounding")
def test_where_bits_are_not_promised_rounding_is_excused(session, monkeypatch):
    monkeypatch.setattr(session.runner()._forward, "bitwise", False)
    found = level(session, "sps")
    assert (found.identical, found.bits, found.passed) == ("up to ties", None, True)


def test_a_draw_by_the_noise_of_another_position_fails(session, monkeypatch):
    """Its law is right, and so is each greedy token: only the text of a seed tells."""

    def late(tree, target, randomness, position):
        path: list[int] = []
        node = ROOT
        while True:
            token = randomness.categorical(target[node + 1], emitting(position + 1000 * len(path)))
            foreseen = [child for child in tree.children()[node + 1] if tree.tokens[child] == token]
            if not foreseen:
                return Verdict(tuple(path), token)
            node = foreseen[0]
            path.append(node)

    monkeypatch.setitem(VERIFIERS, "own_sample", late)
    found = level(session)
    assert (found.wrong, found.bits.moved, found.bits.seeded) == (0, 0, 2)
    assert (found.bits.parted > 0, found.passed) == (True, False)


def test_a_token_that_ties_with_the_likeliest_is_wrong_where_bits_are_promised(session, monkeypatch):
    """Two tokens of the same logit: plain decoding takes the first of them."""
    intact = FusedForward.run
    monkeypatch.setattr(FusedForward, "run", lambda self, step: torch.full_like(intact(self, step), 0.5))

    def last(tree, target, randomness, position):
        return Verdict((), len(target[0]) - 1)

    assert level(session, "sps").passed
    monkeypatch.setitem(VERIFIERS, "rejection", last)
    found = level(session, "sps")
    assert (found.tokens, found.wrong, found.worst, found.passed) == (48, 48, 0.0, False)
    monkeypatch.setattr(session.runner()._forward, "bitwise", False)
    assert level(session, "sps").passed
