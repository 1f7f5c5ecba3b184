"""A text is promised to be plain decoding's where the target's logits and the seed alone decide it."""

from dataclasses import replace

import pytest
import tiny_checkpoints as tiny

from specdec_cli.models.forward import attention
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.promise import identical
from specdec_cli.runtime.session import Session
from specdec_cli.runtime.specem import identical_of, load_ensemble
from specdec_cli.settings import Settings

OWN_SAMPLE = {"autoregressive", "specexec", "ngram"}
MODELS = ("a", "b")
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The folder of a model that transformers' own module computes: its products are by the library."""
    changes = {"architecture": "GPT2", "words": tiny.ASCII, "n_embd": 32, "n_layer": 2, "n_head": 4}
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "gpt2", **changes))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("bitwise", "promise"), [(True, "bitwise"), (False, "up to ties")])
def test_greedy_texts_are_the_same_under_every_method(name, bitwise, promise):
    assert identical(Settings(method=name, models=MODELS, temperature=0.0), bitwise) == promise


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.is_ensemble])
@pytest.mark.parametrize(("bitwise", "promise"), [(True, "bitwise"), (False, "up to ties")])
def test_above_temperature_0_they_are_where_the_targets_own_sample_is_emitted(name, bitwise, promise):
    expected = promise if name in OWN_SAMPLE else None
    assert identical(Settings(method=name, temperature=0.7), bitwise) == expected


@pytest.mark.parametrize(
    ("method", "execution", "models", "expected"),
    [
        ("we", "plain", MODELS, "bitwise"),
        ("we", None, MODELS, "bitwise"),
        ("cd", "plain", MODELS, "bitwise"),
        ("we", "sd", MODELS, None),
        ("we", "chef", MODELS, None),
        ("we", "mixture", MODELS, None),
        ("we", "auto", MODELS, None),  # which one is a matter of what is measured
        ("we-sd", None, MODELS, None),
        ("we-chef", None, MODELS, None),
        ("we-chef", None, ("a",), "bitwise"),  # a single model is decoded plainly
    ],
)
def test_an_ensembles_are_where_all_are_asked_for_every_token(method, execution, models, expected):
    settings = Settings(method=method, exec=execution, models=models, temperature=0.7)
    assert identical(settings, bitwise=True) == expected


def test_a_session_asks_the_models_whose_logits_decide_and_no_draft(settings, folders, module):
    greedy = replace(settings, temperature=0.0)
    assert Session.load(greedy).identical() == "bitwise"
    other = Session.load(replace(greedy, target=module, draft=folders["plain"]))
    assert other.identical() == "up to ties"
    assert other.identical(replace(other.settings, method="sps", temperature=1.0)) is None
    session = Session.load(replace(greedy, target=folders["plain"], draft=module))
    assert not session.runner(next(iter(session._drafts))).bitwise
    assert session.identical() == "bitwise"


def test_one_member_that_rounds_by_what_stands_beside_is_enough(settings, folders, module):
    pairs = {(folders["plain"],) * 2: "bitwise", (folders["plain"], module): "up to ties"}
    for models, promise in pairs.items():
        ensemble = replace(settings, method="we", target=models[0], draft=None, models=models)
        assert Session.load(ensemble).identical() == promise


def test_of_several_models_that_judge_each_other_all_count(settings, folders, module):
    for judges, promise in {(folders["plain"],): "bitwise", (module,): "up to ties"}.items():
        models = {"models": (folders["plain"],), "verify_models": judges, "draft": None}
        asked = replace(settings, method="autoregressive", algorithm="specem", **models)
        assert identical_of(load_ensemble(asked, lambda _: None), asked) == promise


def test_a_gpu_promises_nothing_of_bits(settings, monkeypatch):
    session = Session.load(settings)
    monkeypatch.setattr(session.runner()._forward, "bitwise", False)
    assert isinstance(session.runner()._forward, FusedForward)
    assert session.identical() == "up to ties"


def test_where_every_row_is_attended_to_by_itself_the_user_is_told(settings, monkeypatch):
    assert not any("attended to" in each for each in Session.load(settings).warnings)
    monkeypatch.setattr(attention, "attention_rule", lambda *_: None)
    session = Session.load(settings)
    assert any("attended to by itself" in each for each in session.warnings)
    assert session.runner().bitwise
