"""Sessions that are refused, most of them before anything loads."""

from dataclasses import replace

import pytest
from sessions import tokens

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.runtime import session as session_module
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("method", ["sps", "specexec"])
def test_a_target_without_a_default_draft_is_refused_before_anything_loads(folders, method):
    said: list[str] = []
    with pytest.raises(InputError, match="has no default one"):
        Session.load(Settings(target=folders["target"], method=method), said.append)
    assert said == []


@pytest.mark.parametrize(("target", "draft"), [("gemma3-270m", None), ("smollm2-135m", "ngram")])
def test_samples_are_not_drawn_from_ngrams(target, draft):
    """Neither on request nor as a target's default draft."""
    with pytest.raises(InputError, match="draws samples of a draft model"):
        Session.load(Settings(target=target, method="spechub", draft=draft))


@pytest.mark.parametrize("draft", ["layers:0", "layers:x", "layers:", "layers:2.5", "layers:-1", "layers:²"])
def test_a_misspelt_layer_draft_is_refused_before_anything_loads(folders, draft):
    said: list[str] = []
    with pytest.raises(InputError, match="does not say how many layers"):
        Session.load(Settings(target=folders["target"], draft=draft), said.append)
    assert said == []


def test_a_draft_of_another_vocabulary_is_refused(settings, folders):
    with pytest.raises(MismatchError, match="cannot draft for"):
        Session.load(replace(settings, draft=folders["other"]))


def test_a_prompt_must_leave_room_for_the_answer(settings, folders):
    session = Session.load(replace(settings, target=folders["plain"], max_tokens=28))
    assert len(session.encode("a" * 100)) == 100  # and the context is 128
    with pytest.raises(InputError, match="exceed the context of 128") as caught:
        session.encode("a" * 101)
    assert "--max-tokens 27" in caught.value.hint
    with pytest.raises(InputError, match=r"has 128 tokens and the context of .* holds 128"):
        session.encode("a" * 128)
    assert len(tokens(session.steps(session.encode("a" * 100)))) == 28


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_refused(settings, prompt):
    with pytest.raises(InputError, match="The prompt is empty"):
        Session.load(settings).encode(prompt)


@pytest.mark.parametrize("draft", ["self:", "self:int3", "self:4"])
def test_a_misspelt_precision_is_refused_before_anything_loads(folders, draft):
    said: list[str] = []
    with pytest.raises(InputError, match="names no precision"):
        Session.load(Settings(target=folders["target"], draft=draft), said.append)
    assert said == []


def test_a_draft_of_another_vocabulary_is_refused_before_any_weights_are_read(settings, folders, monkeypatch):
    monkeypatch.setattr(session_module, "load_checked", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(MismatchError, match="cannot draft for"):
        Session.load(replace(settings, draft=folders["other"]))


def test_a_draft_device_that_is_not_there_is_refused_before_anything_loads(settings):
    said: list[str] = []
    with pytest.raises(InputError, match="cuda:77"):
        Session.load(replace(settings, draft_device="cuda:77"), said.append)
    assert said == []


def test_a_tree_that_cannot_be_read_is_refused_before_anything_loads(settings):
    said: list[str] = []
    with pytest.raises(InputError, match="does not describe a tree"):
        Session.load(replace(settings, method="spechub", tree="two wide"), said.append)
    assert said == []
