"""Pictures of steps: their text is the run's, and every probability is the models' own."""

from dataclasses import replace

import pytest
import torch
from paths import tree_path

from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import sampling_of
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft
from specdec_cli.settings.single import AUTO
from specdec_cli.tracing.inspection import ACCEPTED, REJECTED, UNREACHED, picture
from specdec_cli.tracing.watching import watch
from specdec_cli.tree import TokenTree

PROMPT = "the cat and the dog and the cat and the"
DRAFTING = [name for name in METHODS if name != "autoregressive" and not METHODS[name].is_ensemble]


def recomputed(session, text, path, sampling, draft=None):
    """The distribution after a text and a path, from a pass of its own over the whole text."""
    whole = [*text, *path]
    logits = session.logits(whole[:-1], [whole[-1], 0], draft=parse_draft(draft) if draft else None)[1]
    return distribution(logits, Sampling() if sampling.is_greedy else sampling)


@pytest.mark.parametrize(
    ("method", "temperature"), [*((name, 0.8) for name in DRAFTING), ("sps", 0.0), ("specexec", 0.0)]
)
def test_probabilities_are_the_models_own(
    session: Session, settings: Settings, method: str, temperature: float
) -> None:
    settings = replace(settings, method=method, temperature=temperature, max_tokens=4)
    if method == "ngram":
        settings = replace(settings, draft=None)
    sampling, text, drafted = sampling_of(settings), session.encode(PROMPT), 0
    views = list(watch(session, text, settings))
    for number, view in enumerate(views, 1):
        shown = picture(view, number, text[-3:], sampling, session.token_text)
        assert shown.position == len(text)
        for node, guess in enumerate(shown.guesses):
            tree = TokenTree(tuple(g.token for g in shown.guesses), tuple(g.parent for g in shown.guesses))
            above = tree_path(tree, node)[:-1]
            own = recomputed(session, text, above, sampling)
            torch.testing.assert_close(guess.target, float(own[guess.token]), atol=1e-4, rtol=1e-3)
            assert (guess.draft is None) == (method == "ngram")
            if guess.draft is not None:
                draft_law = recomputed(session, text, above, sampling, "layers:1")
                torch.testing.assert_close(guess.draft, float(draft_law[guess.token]), atol=1e-4, rtol=1e-3)
            drafted += 1
        text += view.step.tokens
    assert drafted > 0


@pytest.mark.parametrize("method", ["sps", "specexec"])
def test_a_copied_guess_shows_no_probability_of_a_draft_that_was_not_asked(
    session: Session, settings: Settings, method: str
) -> None:
    settings = replace(settings, method=method, draft="ngram+layers:1", ngram_size=1, max_tokens=12)
    text, kinds = session.encode(PROMPT), set()
    for number, view in enumerate(watch(session, text, settings), 1):
        shown = picture(view, number, text[-3:], sampling_of(settings), session.token_text)
        known = {guess.draft is not None for guess in shown.guesses}
        assert known in ({True}, {False}, set())
        assert known != {True} or view.verifier.tree.proposals or view.verifier.tree.scores
        kinds |= known
    assert kinds == {True, False}


@pytest.mark.parametrize("method", ["sps", "specexec", "spechub", "ngram"])
def test_what_was_accepted_and_what_came_is_the_text(
    session: Session, settings: Settings, method: str
) -> None:
    settings = replace(settings, method=method, draft=None if method == "ngram" else "layers:1")
    prompt = session.encode(PROMPT)
    text = list(prompt)
    for number, view in enumerate(watch(session, prompt, settings), 1):
        shown = picture(view, number, text[-3:], sampling_of(settings), session.token_text)
        taken = [guess for guess in shown.guesses if guess.fate == ACCEPTED]
        assert shown.after == session.decode(text[-3:])
        assert len(taken) == shown.accepted
        emitted = [*(guess.token for guess in taken), shown.next_token]
        text += emitted[: shown.emitted]
        reached = {-1, *(node for node, guess in enumerate(shown.guesses) if guess.fate == ACCEPTED)}
        for guess in shown.guesses:
            if guess.fate != ACCEPTED:
                assert guess.fate == (REJECTED if guess.parent in reached else UNREACHED)
    plain = [token for step in session.steps(prompt, settings) for token in step.tokens]
    assert text == [*prompt, *plain]


def test_a_budget_from_the_hardware_weighs_the_targets_passes(
    session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every further row costs a year, no guess is worth it."""
    costs = session.runner().costs
    monkeypatch.setattr(costs, "seconds", lambda rows: 1.0 if rows == 1 else 3e7 * rows)
    settings = replace(settings, method="specexec", max_budget=AUTO, max_tokens=4)
    assert [len(view.verifier.tree) for view in watch(session, session.encode(PROMPT), settings)] == [0] * 4
