"""A draft that leaves tokens out never proposes one of them, and the text keeps the target's law exactly."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from random_models import ARCHITECTURES, random_model

from specdec_cli.audit import exact
from specdec_cli.audit.toys import ToyDraftModel
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.registry.methods import METHODS

KEPT = torch.tensor([0, 2])
LEFT_OUT = 1
DRAFTING = [name for name, method in METHODS.items() if method.asks_draft]


class WatchedDrafter:
    """A drafter whose proposals are looked at."""

    def __init__(self, drafter):
        self._drafter = drafter

    def __getattr__(self, name):
        return getattr(self._drafter, name)

    def propose(self, *arguments):
        tree = self._drafter.propose(*arguments)
        assert LEFT_OUT not in tree.tokens
        return tree


def watched(roles, settings):
    return replace(roles, drafter=WatchedDrafter(roles.drafter))


def copies_first(settings):
    return settings.draft.startswith("ngram+")


CASES = [each for each in exact.cases(DRAFTING) if not copies_first(each)]  # a copy may be of any token


@pytest.mark.parametrize("settings", CASES, ids=lambda each: (
    f"{each.method}-{each.verify}-{each.tree}-{each.temperature}"
))  # fmt: skip
def test_the_law_stays_the_targets_and_nothing_left_out_is_proposed(settings, monkeypatch):
    monkeypatch.setattr(exact, "ToyDraftModel", partial(ToyDraftModel, vocabulary=KEPT))
    found = exact.check(settings, seed=3, damage=watched)
    assert found.error is None
    assert found.distance < 1e-12


UNREADABLE, STAND_IN = 2, 0


class BlindDraftModel(ToyDraftModel):
    """One whose embedding ends before the target's last token, as `Runner` makes it read what it cannot."""

    def _logits(self, text):
        return super()._logits([STAND_IN if token == UNREADABLE else token for token in text])[:UNREADABLE]


@pytest.mark.parametrize("settings", list(exact.cases(DRAFTING)), ids=lambda each: (
    f"{each.method}-{each.verify}-{each.tree}-{each.temperature}-{copies_first(each)}"
))  # fmt: skip
def test_the_law_stays_the_targets_where_the_draft_cannot_read_what_is_emitted(settings, monkeypatch):
    monkeypatch.setattr(exact, "ToyDraftModel", BlindDraftModel)
    found = exact.check(settings, seed=3)
    assert found.error is None
    assert found.distance < 1e-12


def test_the_law_stays_the_targets_when_a_real_draft_reads_a_stand_in(monkeypatch):
    config = ARCHITECTURES["llama"]()
    config.vocab_size = UNREADABLE
    draft = random_model(config)
    read = []

    class Embedding(torch.nn.Embedding):
        def forward(self, tokens):
            read.append(int(tokens.max()))
            return super().forward(tokens)

    draft.model.embed_tokens.__class__ = Embedding
    monkeypatch.setattr(
        exact, "ToyDraftModel", lambda *_, **__: Runner(HFForward(draft), 64, stand_in=STAND_IN)
    )
    settings = next(each for each in exact.cases(["sps"]) if each.temperature > 0)
    found = exact.check(settings, seed=3)
    assert found.error is None
    assert found.distance < 1e-12
    assert max(read) < UNREADABLE
