"""What `--draft` says is read once: every form of it, and everything that is none."""

from dataclasses import replace

import pytest

from specdec_cli.errors import InputError
from specdec_cli.registry.drafts import EARLY_EXIT, MODEL, NGRAM, NOISY, QUANTIZED, DraftSpec
from specdec_cli.registry.models import REGISTRY
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import default_draft, parse_draft, resolve_draft, without_ngram_first

FORMS = {
    "ngram": DraftSpec(NGRAM, "ngram"),
    "layers:8": DraftSpec(EARLY_EXIT, "layers:8", layers=8),
    "self:int8": DraftSpec(QUANTIZED, "self:int8", precision="int8"),
    "self:int4": DraftSpec(QUANTIZED, "self:int4", precision="int4"),
    "self:noise:0.01": DraftSpec(NOISY, "self:noise:0.01", noise=0.01),
    "smollm2-head": DraftSpec(MODEL, "smollm2-head"),
    "owner/model": DraftSpec(MODEL, "owner/model"),
    "./layers": DraftSpec(MODEL, "./layers"),
    "ngrams": DraftSpec(MODEL, "ngrams"),
}


@pytest.mark.parametrize("text", FORMS)
def test_each_form_is_read_as_what_it_is_and_written_back(text):
    assert parse_draft(text) == FORMS[text]
    assert parse_draft(text).text == text


@pytest.mark.parametrize("text", [text for text in FORMS if text != "ngram"])
def test_n_grams_may_go_before_every_draft_but_themselves(text):
    assert parse_draft(f"ngram+{text}") == replace(FORMS[text], ngram_first=True)
    assert parse_draft(f"ngram+{text}").text == f"ngram+{text}"


@pytest.mark.parametrize("text", FORMS)
def test_a_draft_is_of_one_kind(text):
    spec = parse_draft(text)
    assert [spec.is_ngram, spec.is_model, spec.is_of_target].count(True) == 1
    assert spec.is_ngram == (text == "ngram")
    assert spec.is_of_target == text.startswith(("layers:", "self:"))


@pytest.mark.parametrize(
    ("text", "problem"),
    {
        "layers:": "how many layers",
        "layers:0": "how many layers",
        "layers:-1": "how many layers",
        "layers:two": "how many layers",
        "self:": "no precision",
        "self:int5": "no precision",
        "self:noise:": "how much noise",
        "self:noise:0": "how much noise",
        "self:noise:nan": "how much noise",
        "self:noise:inf": "how much noise",
        "ngram+": "nothing can be copied",
        "ngram+ngram": "nothing can be copied",
        "ngram+ngram+layers:2": "nothing can be copied",
        "ngram+layers:0": "how many layers",
    }.items(),
)
def test_what_is_no_draft_is_refused_with_the_form_that_it_should_have(text, problem):
    with pytest.raises(InputError, match=problem) as refused:
        parse_draft(text)
    assert refused.value.hint.startswith("Write ")


def test_what_goes_before_a_name_is_told_from_it():
    assert without_ngram_first("ngram+layers:2") == ("ngram+", "layers:2")
    assert without_ngram_first("layers:2") == ("", "layers:2")


def test_a_registry_target_has_its_default_draft():
    for entry in REGISTRY.values():
        assert resolve_draft(Settings(target=entry.name)) == default_draft(entry.name)
        draft = default_draft(entry.name)
        assert draft is not None
        assert draft.text == entry.default_draft
    for method in ("sps", "specexec", "spechub"):  # a static tree wants samples, so nothing is copied into it
        settings = Settings(target="smollm2-135m", method=method)
        assert resolve_draft(settings) == DraftSpec(MODEL, "smollm2-head", ngram_first=method != "spechub")


@pytest.mark.parametrize("method", ["sps", "specexec"])
def test_n_grams_before_a_draft_leave_its_name_to_the_model(method):
    settings = Settings(target="./any", method=method, draft="ngram+layers:2")
    expected = DraftSpec(EARLY_EXIT, "layers:2", layers=2, ngram_first=True)
    assert resolve_draft(settings) == expected
    assert resolve_draft(replace(settings, draft="layers:2")) == replace(expected, ngram_first=False)


@pytest.mark.parametrize("method", ["spechub", "kseq", "sequoia"])
def test_n_grams_go_before_no_draft_whose_samples_are_wanted(method):
    with pytest.raises(InputError, match="takes no copied guesses") as caught:
        resolve_draft(Settings(target="./any", method=method, draft="ngram+layers:2"))
    assert "--draft layers:2" in caught.value.hint


@pytest.mark.parametrize("draft", ["ngram+", "ngram+ngram", "ngram+ngram+layers:2", "ngram+layers:0"])
def test_what_stands_behind_n_grams_must_be_a_draft(draft):
    with pytest.raises(InputError):
        resolve_draft(Settings(target="./any", method="sps", draft=draft))


def test_methods_without_a_draft_model_need_none_named():
    assert resolve_draft(Settings(target="./any", method="autoregressive", draft="layers:3")) is None
    draft = resolve_draft(Settings(target="./any", method="ngram"))
    assert draft is not None
    assert draft.is_ngram
