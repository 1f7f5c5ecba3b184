"""`specdec distill` from the command line: a draft that other commands take, and errors that help."""

import json
from typing import Any

import pytest
import tiny_checkpoints as tiny

from specdec_cli.registry.methods import METHODS

SMALL = (
    "--tokens",
    "400",
    "--texts",
    "8",
    "--length",
    "32",
    "--batch",
    "4",
    "--epochs",
    "1",
    "--unroll",
    "2",
)
DRAFTING = [
    name for name in METHODS if name not in ("autoregressive", "ngram") and not METHODS[name].is_ensemble
]


pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    return str(tiny.folder(folder, words=tiny.ASCII, initializer_range=0.4))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return str(tiny.folder(tmp_path_factory.mktemp("other")))


@pytest.fixture
def draft(specdec, target, tmp_path):
    outcome = specdec("distill", "--target", target, "-o", str(tmp_path / "draft"), *SMALL)
    assert outcome.code == 0, outcome.err
    assert "held-out positions" in outcome.out
    assert "Predicted on this machine" in outcome.out
    return tmp_path / "draft"


def ids(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)["token_ids"]


def test_every_method_drafts_with_it_and_greedy_text_stays_what_it_was(specdec, target, draft):
    flags = ("-p", "ab", "--target", target, "-n", "24", "-t", "0", "--ignore-eos", "--json")
    plain = ids(specdec("generate", "--method", "autoregressive", *flags))
    for method in DRAFTING:
        assert ids(specdec("generate", "--method", method, "--draft", str(draft), *flags)) == plain, method
    for method in (name for name, each in METHODS.items() if each.may_copy_first):
        copying = ("--draft", f"ngram+{draft}", "--ngram-size", "1")
        assert ids(specdec("generate", "--method", method, *copying, *flags)) == plain, method


def test_one_text_teaches_several_drafts_and_the_report_says_how(specdec, target, draft, tmp_path):
    text = str(draft / "work" / "text")
    outcome = specdec(
        "distill", "--target", target, "-o", str(tmp_path / "lm"), "--kind", "layers", "--layers", "1",
        "--text", text, *SMALL, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["recipe"]["kind"] == "layers"
    assert set(found["held_out"]["accepted"]) == {"0.0", "0.6", "1.0"}
    assert found["here"]["draft_pass"] > 0
    assert json.loads((draft / "draft.json").read_text())["recipe"]["kind"] == "head"
    flags = ("-p", "ab", "--target", target, "-n", "16", "-t", "0", "--ignore-eos", "--json")
    plain = ids(specdec("generate", "--method", "autoregressive", *flags))
    assert ids(specdec("generate", "--method", "specexec", "--draft", str(tmp_path / "lm"), *flags)) == plain


def test_transformers_takes_the_small_model_as_it_is(specdec, target, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "lm"
    outcome = specdec("distill", "--target", target, "-o", str(folder), "--kind", "layers", *SMALL[:6],
                      "--layers", "1", "--batch", "8", "--epochs", "1")  # fmt: skip
    assert outcome.code == 0, outcome.err
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.num_hidden_layers == 1


def test_beside_a_head_transformers_is_assisted_by_the_draft_that_it_can_run(
    specdec, target, draft, tmp_path
):
    small, text = str(tmp_path / "lm"), str(draft / "work" / "text")
    cut = ("--kind", "layers", "--layers", "1")
    made = specdec("distill", "--target", target, "-o", small, *cut, "--text", text, *SMALL)
    assert made.code == 0, made.err
    (tmp_path / "p.jsonl").write_text('{"prompt": "abc"}\n')
    outcome = specdec(
        "bench", "-m", target, "--dataset", str(tmp_path / "p.jsonl"), "--methods", "sps", "-n", "8",
        "--n-tests", "1", "--draft", f"{draft}, {small}", "--peer", "transformers", "--format", "json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    names = [row["configuration"] for row in json.loads(outcome.out)["rows"]]
    assert "transformers, assisted" in names
    assert {f"sps, draft {draft}", f"sps, draft {small}"} <= set(names)


def test_a_head_made_for_another_target_is_refused_before_anything_is_loaded(specdec, other, draft):
    outcome = specdec("generate", "-p", "ab", "--target", other, "--draft", str(draft), "--method", "sps")
    assert outcome.code == 3
    assert "was made for" in outcome.err
    assert "specdec distill --target" in outcome.err


def test_a_finished_head_is_stored_in_four_bits_by_the_same_command_without_training_again(
    specdec, target, draft
):
    before, trained = (draft / "model.safetensors").stat().st_size, (draft / "work/training.pt").read_bytes()
    again = specdec("distill", "--target", target, "-o", str(draft), *SMALL, "--store", "int4")
    assert again.code == 0, again.err
    assert (draft / "model.safetensors").stat().st_size < before
    assert (draft / "work/training.pt").read_bytes() == trained
    flags = ("-p", "ab", "--target", target, "-n", "24", "-t", "0", "--ignore-eos", "--json")
    drafting = ("--method", "specexec", "--draft", str(draft))
    assert ids(specdec("generate", *drafting, *flags)) == ids(
        specdec("generate", "--method", "autoregressive", *flags)
    )
    refused = specdec("generate", *drafting, *flags, "--draft-quantize", "int8")
    assert (refused.code, "in 4 bits already" in refused.err) == (2, True), refused.err


def test_a_damaged_head_is_named(specdec, target, draft):
    (draft / "model.safetensors").write_bytes(b"no weights")
    outcome = specdec("generate", "-p", "ab", "--target", target, "--draft", str(draft), "--method", "sps")
    assert outcome.code == 2
    assert "model.safetensors is missing or damaged" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kind", "brain"), "no kind of draft"),
        (("--loss", "hinge"), "no loss"),
        (("--store", "int5"), "cannot be stored as int5"),
        (("--store", "int4", "--kind", "layers"), "transformers would not read it"),
        (("--prompts", "no-such-set.jsonl"), "no-such-set.jsonl"),
    ],
)
def test_what_cannot_be_is_refused_at_once(specdec, target, tmp_path, arguments, said):
    outcome = specdec("distill", "--target", target, "-o", str(tmp_path / "d"), *SMALL, *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "d").exists()


def test_a_folder_that_holds_something_else_is_left_alone(specdec, target, other):
    outcome = specdec("distill", "--target", target, "-o", other, *SMALL)
    assert outcome.code == 2
    assert "not made by distill" in outcome.err


@pytest.mark.parametrize("name", ["~/new", "smollm2-135m", "ngram"])
def test_a_draft_may_have_any_folders_name(specdec, target, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    outcome = specdec("distill", "--target", target, f"--output={name}", *SMALL)
    assert outcome.code == 0, outcome.err
    assert "Predicted on this machine" in outcome.out
    assert (tmp_path / name.replace("~", "home") / "draft.json").exists()


def test_a_draft_of_a_user_that_is_not_there_is_refused(specdec, target):
    outcome = specdec("distill", "--target", target, "--output=~no-such-user/x", *SMALL)
    assert outcome.code == 2
    assert "no such user" in outcome.err
