"""What `specdec ensemble` refuses, in a line of problem and one of hint, and with which exit code."""

import pytest
from program import Program

pytestmark = pytest.mark.usefixtures("own_cache")


REFUSED = {
    "other words": (["--models", "A,OTHER"], 3, "--algorithm specem"),
    "no models": (["--target", "A"], 2, "--models A,B"),
    "three for cd": (["--models", "A,B,C", "--algorithm", "cd"], 2, "not 3"),
    "a contradiction": (["--models", "A,B", "--algorithm", "we-sd", "--exec", "chef"], 2, "contradicts"),
    "greedy mixture": (["--models", "A,B", "--exec", "mixture"], 2, "--exec chef"),
    "contrastive mixture": (
        ["--models", "A,B", "--algorithm", "cd", "--exec", "mixture", "-t", "1"], 2, "average"),
    "weights of three": (["--models", "A,B", "--weights", "1,2,3"], 2, "3 weights for 2"),
    "a weight below 0": (["--models", "A,B", "--weights", "1,-1"], 2, "at least 0"),
    "no weight at all": (["--models", "A,B", "--weights", "0,0"], 2, "all 0"),
    "a stranger's weight": (["--models", "A,B", "--weights", "X=1"], 2, "none of the models"),
    "lengths of three": (["--models", "A,B", "--exec", "chef", "--gamma", "1,2,3"], 2, "3 proposal lengths"),
    "probs of cd": (
        ["--models", "A,B", "--algorithm", "cd", "--ensemble-target", "probs"], 2, "raw-logits"),
    "alpha of an average": (["--models", "A,B", "--alpha", "0.5"], 2, "contrastive"),
    "two algorithms": (["--models", "A,B", "--algorithm", "cd", "--method", "we-chef"], 2, "contradicts"),
    "a method of one target": (["--models", "A,B", "--method", "ngram"], 2, "no algorithm 'ngram'"),
    "a budget": (["--models", "A,B", "--max-budget", "8"], 2, "--max-budget has no use"),
    "a depth": (["--models", "A,B", "--max-beam-len", "8"], 2, "--max-beam-len has no use"),
    "branches": (["--models", "A,B", "--max-branch-width", "2"], 2, "--max-branch-width has no use"),
    "a tree": (["--models", "A,B", "--tree", "2^3"], 2, "--tree has no use: models propose"),
    "hubs": (["--models", "A,B", "--hub-above", "0.4"], 2, "--hub-above has no use: models propose"),
    "coupling": (["--models", "A,B", "--coupled"], 2, "--coupled has no use: models propose"),
    "a tree of plain members": (
        ["--models", "A,B", "--algorithm", "specem", "--tree", "2^3"], 2, "without --method the models"),
    "a decay of plain members": (
        ["--models", "A,B", "--algorithm", "specem", "--decay", "0.5"], 2, "without --method the models"),
    "n-grams of plain members": (
        ["--models", "A,B", "--algorithm", "specem", "--ngram-size", "2"], 2, "without --method the models"),
    "a decay": (["--models", "A,B", "--decay", "0.5"], 2, "--decay has no use"),
    "n-grams without copies": (
        ["--models", "A,B", "--exec", "sd", "--ngram-size", "2"], 2, "--ngram-size has no use"),
    "no cache": (["--models", "A,B", "--no-cache"], 2, "--no-cache has no use"),
    "a length without a chain": (["--models", "A,B", "--gamma", "3"], 2, "--exec plain takes no"),
    "lengths of auto": (["--models", "A,B", "--gamma", "3,2", "--exec", "auto"], 2, "--exec auto takes no"),
    "names of one answer": (["--models", "A,B", "--names", "plain"], 2, "--names is for many prompts"),
    "a count of one prompt": (["--models", "A,B", "--n-tests", "3"], 2, "--n-tests is for many prompts"),
    "tokens of segments": (["--models", "A,B", "--algorithm", "specem"], 2, "--max-tokens has no use"),
    "no such algorithm": (["--models", "A,B", "--algorithm", "wee"], 2, "we-chef"),
    "noise that is none": (["--models", "A,self:noise:x"], 2, "self:noise:0.01"),
    "an idle draft": (["--models", "A,B", "--exec", "chef", "--draft", "ngram"], 2, "--exec sd"),
    "lengths of an outsider": (
        ["--models", "A,B", "--exec", "sd", "--draft", "ngram", "--gamma", "1,2"], 2, "alone proposes"),
    "a member as an outsider": (
        ["--models", "A,B", "--exec", "sd", "--draft", "B", "-t", "1"], 2, "one of the models already"),
    "block without a chain": (["--models", "A,B", "--exec", "chef", "--verify", "block"], 2, "--exec sd"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_two_lines(ensemble, case):
    arguments, code, words = REFUSED[case]
    made = ensemble(*arguments)
    assert made.code == code, made.err
    assert made.err.startswith("Error: ")
    assert made.err.count("\n") == 2
    assert words in made.err
    assert made.out == ""


@pytest.mark.parametrize("name", ["self:noise:x", "self:int7", "layers:0"])
def test_names_that_cannot_be_read_are_refused_before_anything_is_loaded(ensemble, monkeypatch, name):
    def never(*_, **__):
        raise AssertionError("something was loaded")

    monkeypatch.setattr("specdec_cli.runtime.session.load_checked", never)
    for given in (("--models", f"A,{name}"), ("--models", "A,B", "--exec", "sd", "--draft", name)):
        made = ensemble(*given)
        assert (made.code, name in made.err) == (2, True), made.err


@pytest.mark.parametrize("flag", ["--json", "--stream", "--show-owners"])
def test_flags_of_one_answer_are_refused_with_many(specdec: Program, folders, tmp_path, flag):
    files = ("--input", "prompts", "--output", str(tmp_path / "r.json"))
    for algorithm in ("we", "specem"):
        made = specdec("ensemble", "--algorithm", algorithm, "--models", folders["A"], *files, flag)
        assert (made.code, f"{flag} has no use" in made.err) == (2, True), made.err


def test_ensemble_options_are_refused_by_other_methods(ensemble):
    made = ensemble("--target", "A", "--method", "ngram", "--weights", "1,2", command="generate")
    assert made.code == 2
    assert "no ensemble" in made.err
