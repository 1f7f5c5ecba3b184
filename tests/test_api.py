"""The Python class: text in, text and what follows out."""

from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import specdec_cli
from specdec_cli import SpeculativeDecoder
from specdec_cli.errors import InputError, MismatchError

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5}
TEXT = "the cat and the"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "target": str(tiny.folder(root / "target", **SHARP)),
        "draft": str(tiny.folder(root / "draft", noise=0.02, **SHARP)),
        "other": str(tiny.folder(root / "other")),
    }


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def decoder(folders, draft="draft", **options):
    options = {"dtype": "float32", **options}
    return SpeculativeDecoder(folders.get(draft, draft), folders["target"], device="cpu", **options)


def test_it_returns_the_text_and_its_greedy_continuation(folders):
    """The text itself is continued: a chat template, which this model has, plays no part."""
    tokens = AutoTokenizer.from_pretrained(folders["target"])(TEXT, return_tensors="pt")["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(folders["target"], dtype=torch.float32)
    made = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=20, pad_token_id=0
    )
    expected = AutoTokenizer.from_pretrained(folders["target"]).decode(made[0], skip_special_tokens=True)
    assert decoder(folders, temperature=0.0).speculative_sample(TEXT) == expected


def test_the_same_seed_gives_the_same_text(folders):
    first, again = decoder(folders, seed=3), decoder(folders, seed=3)
    text = first.speculative_sample(TEXT)
    assert text.startswith(TEXT)
    assert first.speculative_sample(TEXT) == again.speculative_sample(TEXT) == text
    assert decoder(folders, seed=4).speculative_sample(TEXT) != text


@pytest.mark.parametrize("gamma", [1, 3])
def test_gamma_tokens_are_drafted_at_a_time(folders, gamma):
    made = decoder(folders, draft=folders["target"], gamma=gamma, max_tokens=12, seed=1)
    made.speculative_sample(TEXT)
    assert made.stats.accepted_lengths == [gamma] * (12 // (gamma + 1))
    assert made.stats.drafted == 12 - made.stats.passes


def test_stats_are_of_the_last_call(folders):
    made = decoder(folders, max_tokens=7, temperature=0.0)
    assert made.stats is None
    made.speculative_sample(TEXT)
    first = made.stats
    made.speculative_sample(TEXT)
    assert made.stats is not first
    assert made.stats.tokens == first.tokens == 7
    assert made.stats.accepted_lengths == first.accepted_lengths


@pytest.mark.parametrize("draft", ["ngram", "layers:1"])
def test_drafts_that_are_no_model_of_their_own_give_the_same_greedy_text(folders, draft):
    expected = decoder(folders, temperature=0.0).speculative_sample(TEXT)
    assert decoder(folders, draft=draft, temperature=0.0).speculative_sample(TEXT) == expected


def test_variables_of_the_command_line_play_no_part(folders, monkeypatch):
    expected = decoder(folders).speculative_sample(TEXT)
    monkeypatch.setenv("SPECDEC_TEMPERATURE", "0")
    monkeypatch.setenv("SPECDEC_NONSENSE", "1")
    assert decoder(folders).speculative_sample(TEXT) == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_the_number_format_can_be_chosen(folders, name):
    assert decoder(folders, dtype=name)._session.number_format == name


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"dtype": "float8"}, "dtype"),
        ({"gamma": 0}, "gamma"),
        ({"max_tokens": 0}, "max-tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top-p"),
        ({"seed": -1}, "seed"),
        ({"gamma": 2.5}, "gamma"),
        ({"draft": "./nowhere"}, "nowhere"),
        ({"draft": "layers:9"}, "has 2 layers"),
    ],
)
def test_arguments_out_of_range_are_refused(folders, options, about):
    with pytest.raises(InputError, match=about):
        decoder(folders, **options)


def test_models_of_different_words_are_refused(folders):
    with pytest.raises(MismatchError, match="cannot draft for"):
        decoder(folders, draft="other")


@pytest.mark.parametrize(
    ("text", "about"), [("", "empty"), ("a" * 128, "holds 128"), ("a" * 120, "exceed the context of 128")]
)
def test_a_text_that_cannot_be_continued_is_refused(folders, text, about):
    with pytest.raises(InputError, match=about):
        decoder(folders).speculative_sample(text)


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = specdec_cli.Nonsense
    assert set(specdec_cli.__all__) == {"SpeculativeDecoder", "__version__"}
