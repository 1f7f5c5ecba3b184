"""A draft that leaves tokens out never proposes one of them, and the text keeps the target's law exactly."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from specdec_cli.audit import exact
from specdec_cli.audit.toys import ToyDraftModel
from specdec_cli.drafts import copies_first
from specdec_cli.methods import METHODS

KEPT = torch.tensor([0, 2])
LEFT_OUT = 1
DRAFTING = [
    name for name in METHODS if name not in ("autoregressive", "ngram") and not METHODS[name].is_ensemble
]


class Watched:
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
    return replace(roles, drafter=Watched(roles.drafter))


CASES = [each for each in exact.cases(DRAFTING) if not copies_first(each)]  # a copy may be of any token


@pytest.mark.parametrize("settings", CASES, ids=lambda each: (
    f"{each.method}-{each.verify}-{each.tree}-{each.temperature}"
))  # fmt: skip
def test_the_law_stays_the_targets_and_nothing_left_out_is_proposed(settings, monkeypatch):
    monkeypatch.setattr(exact, "ToyDraftModel", partial(ToyDraftModel, vocabulary=KEPT))
    found = exact.check(settings, seed=3, damage=watched)
    assert found.error is None
    assert found.distance < 1e-12
