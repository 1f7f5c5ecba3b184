"""`specdec ensemble`, and ensembles under generate and bench, on tiny random models."""

import json
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
import torch
from program import Outcome, Program
from transformers import AutoModelForCausalLM, AutoTokenizer

from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

PROMPT = "the cat and the cat and the"
SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 256, "template": None}
COUNT = 20


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders: a model, one that mostly agrees, the same padded, a third, one of other words."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "A": tiny.folder(root / "a", **SHARP),
        "B": tiny.folder(root / "b", noise=0.05, **SHARP),
        "PADDED": tiny.folder(root / "padded", noise=0.05, vocab_size=len(tiny.ASCII) + 7, **SHARP),
        "C": tiny.folder(root / "c", noise=0.1, **SHARP),
        "OTHER": tiny.folder(root / "other", initializer_range=0.5),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ensemble(specdec: Program, models: dict[str, str]) -> Program:
    """Runs `specdec ensemble`; the names of models stand for their folders."""

    def run(*arguments: str, command: str = "ensemble") -> Outcome:
        given = [",".join(models.get(part, part) for part in argument.split(",")) for argument in arguments]
        prompt = () if command == "bench" else ("-p", PROMPT)
        return specdec(command, *given, *prompt, "-n", str(COUNT))

    return run


def tokens(outcome: Outcome) -> list[int]:
    assert outcome.code == 0, outcome.err
    return list(json.loads(outcome.out)["token_ids"])


def expected(models: dict[str, str], names: list[str], combine) -> list[int]:
    """Greedy decoding of combined logits by transformers, without a cache."""
    text = AutoTokenizer.from_pretrained(models["A"])(PROMPT)["input_ids"]
    loaded = [AutoModelForCausalLM.from_pretrained(models[name], dtype=torch.float32) for name in names]
    made: list[int] = []
    for _ in range(COUNT):
        with torch.inference_mode():
            rows = [model(torch.tensor([text + made])).logits[0, -1, : len(tiny.ASCII)] for model in loaded]
        made.append(int(combine(rows).argmax()))
        if made[-1] == 1:
            break
    return made


def average(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([row.softmax(-1) for row in rows]).mean(0)


@pytest.mark.parametrize(
    ("names", "algorithm"),
    [
        (["A", "B"], "we"),
        (["A", "B"], "we-sd"),
        (["A", "PADDED"], "we-chef"),
        (["A", "PADDED"], "we_sd"),
        (["A", "B", "C"], "ensemble_chef"),
    ],
)
def test_a_greedy_average_is_that_of_transformers(ensemble, models, names, algorithm):
    made = ensemble("--models", ",".join(names), "--algorithm", algorithm, "--json")
    assert tokens(made) == expected(models, names, average)


@pytest.mark.parametrize("method", ["cd", "cd_sd", "cd-chef"])
def test_greedy_contrastive_decoding_is_that_of_transformers_under_generate_too(ensemble, models, method):
    given = ("--amateur", "B", "--target", "A", "--mu", "0.5", "--json", "--raw")
    made = ensemble("--method", method, *given, command="generate")
    assert tokens(made) == expected(models, ["A", "B"], lambda rows: rows[0] - 0.5 * rows[1])


def test_proxy_tuning_and_geometric_averages_are_those_of_transformers(ensemble, models):
    proxy = ensemble("--models", "A,B,C", "--ensemble-fn", "proxy", "--exec", "chef", "--json")
    assert tokens(proxy) == expected(models, ["A", "B", "C"], lambda rows: rows[0] + rows[1] - rows[2])
    mean = ensemble(
        "--models", "A,B", "--ensemble-fn", "geometric", "--weights", "3,1", "--exec", "sd", "--json"
    )
    assert tokens(mean) == expected(models, ["A", "B"], lambda rows: 0.75 * rows[0] + 0.25 * rows[1])


@pytest.mark.parametrize("execution", ["plain", "sd", "chef", "mixture", "auto"])
def test_one_model_is_generate(ensemble, execution):
    alone = ensemble("--target", "A", "--method", "autoregressive", "-t", "1", "--json", command="generate")
    made = ensemble("--models", "A", "--exec", execution, "-t", "1", "--json")
    assert tokens(made) == tokens(alone)


def test_a_method_names_the_algorithm_where_nothing_else_does(ensemble):
    made = json.loads(ensemble("--models", "A,B", "--method", "we_chef", "--json").out)
    assert made["settings"]["method"] == "we-chef"
    alone = json.loads(ensemble("--models", "A,B", "--method", "large_model", "--json").out)
    assert (alone["settings"]["method"], alone["settings"]["models"]) == ("autoregressive", [])
    both = ensemble("--models", "A,B", "--method", "we-chef", "--algorithm", "ensemble_chef", "--json")
    assert json.loads(both.out)["settings"]["method"] == "we-chef"


def test_a_named_algorithm_goes_before_that_of_a_preset(ensemble, models, tmp_path):
    preset = tmp_path / "own.yaml"
    preset.write_text(f"algorithm: specem\nmodels: [{models['A']}, {models['B']}]\nmax-words: 5\n")
    made = json.loads(ensemble("--preset", str(preset), "--algorithm", "we", "--json").out)
    assert (made["settings"]["method"], made["settings"]["algorithm"]) == ("we", None)
    assert made["token_ids"] == expected(models, ["A", "B"], average)


def test_large_model_is_the_first_alone(ensemble):
    alone = ensemble("--target", "A", "--method", "large_model", "--json", command="generate")
    assert tokens(ensemble("--models", "A,B", "--algorithm", "large_model", "--json")) == tokens(alone)


def test_the_record_says_who_proposed_what_and_who_was_called(ensemble, models):
    made = json.loads(ensemble("--models", "A,B", "--exec", "chef", "--json").out)
    members = made["ensemble"]["members"]
    assert len(made["ensemble"]["owners"]) == len(made["token_ids"])
    assert set(made["ensemble"]["owners"]) <= {0, 1, None}
    accepted = [member["accepted"] for member in members]
    assert [made["ensemble"]["owners"].count(place) for place in (0, 1)] == accepted
    calls = sum(member["calls"] for member in members)
    assert made["ensemble"]["calls_per_token"] == calls / len(made["token_ids"])
    assert [member["name"] for member in made["models"]["members"]] == [models["A"], models["B"]]


def test_the_calls_that_are_told_are_the_passes_that_were_made(ensemble, monkeypatch):
    passes = []
    inner = Runner._pass

    def counted(self, *given):
        passes.append(1)
        return inner(self, *given)

    monkeypatch.setattr(Runner, "_pass", counted)
    made = json.loads(ensemble("--models", "A,B", "--exec", "chef", "--json").out)
    prompts = 2  # each model reads the prompt's beginning in a pass of its own
    assert sum(member["calls"] for member in made["ensemble"]["members"]) == len(passes) - prompts


def test_auto_says_what_it_chose(ensemble):
    made = ensemble("--models", "A,B", "--exec", "auto", "-t", "1")
    assert "--exec auto chose " in made.err
    assert " calls per token (" in made.err


def test_a_model_may_be_named_twice_and_copies_of_it_may_be_members(ensemble):
    alone = tokens(ensemble("--models", "A", "--json"))
    assert tokens(ensemble("--models", "A,A", "--exec", "chef", "--json")) == alone
    for copy in ("self:int8", "self:noise:0.01", "layers:1"):
        plain, chef = (
            tokens(ensemble("--models", f"A,{copy}", "--exec", kind, "--json")) for kind in ("plain", "chef")
        )
        assert plain == chef


def test_an_outsider_may_propose_to_all(ensemble):
    plain = tokens(ensemble("--models", "A,B", "--json"))
    made = ensemble("--models", "A,B", "--exec", "sd", "--draft", "ngram", "--json")
    assert tokens(made) == plain


@pytest.mark.parametrize("seed", range(3))
def test_an_outsider_made_of_a_padded_first_model_proposes_what_the_law_may_say(ensemble, seed):
    given = ("--models", "PADDED,A", "--exec", "sd", "--draft", "layers:1", "--gamma", "2")
    made = json.loads(ensemble(*given, "-t", "1", "--seed", str(seed), "--json").out)
    assert made["token_ids"]
    assert max(made["token_ids"]) < len(tiny.ASCII)


def test_the_size_of_ngrams_is_taken_where_ngrams_propose(ensemble):
    shared = ("--models", "A,B", "--exec", "sd", "--draft", "ngram", "--json")
    assert tokens(ensemble(*shared, "--ngram-size", "1")) == tokens(ensemble(*shared))


def test_the_length_of_an_outsiders_chain_is_the_one_asked_for(ensemble):
    given = ("--models", "A,B", "--exec", "sd", "--draft", "layers:1", "-t", "1", "--json", "--ignore-eos")
    most = []
    for length in (1, 3):
        made = json.loads(ensemble(*given, "--gamma", str(length)).out)
        most.append(made["stats"]["drafted"] / len(made["accepted_lengths"]))
    assert most[0] <= 1 < most[1] <= 3


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
    "a tree": (["--models", "A,B", "--tree", "2^3"], 2, "--tree 2^3 has no use"),
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
def test_flags_of_one_answer_are_refused_with_many(specdec: Program, models, tmp_path, flag):
    files = ("--input", "prompts", "--output", str(tmp_path / "r.json"))
    for algorithm in ("we", "specem"):
        made = specdec("ensemble", "--algorithm", algorithm, "--models", models["A"], *files, flag)
        assert (made.code, f"{flag} has no use" in made.err) == (2, True), made.err


def test_ensemble_options_are_refused_by_other_methods(ensemble):
    made = ensemble("--target", "A", "--method", "ngram", "--weights", "1,2", command="generate")
    assert made.code == 2
    assert "no ensemble" in made.err


def test_bench_compares_executions_with_plain_decoding_of_the_same_law(ensemble, tmp_path):
    given = ("--methods", "we-sd,we,cd-chef", "--exec", "mixture", "--models", "A,B", "-t", "1", "--raw")
    made = ensemble(*given, "--n-tests", "2", "--format", "json", command="bench")
    assert made.code == 0, made.err
    rows = {row["configuration"]: row for row in json.loads(made.out)["rows"]}
    assert set(rows) == {"we", "cd", "we-sd", "we, mixture", "cd-chef"}
    assert rows["we"]["speedup"] is None is rows["cd"]["speedup"]
    assert all(rows[name]["speedup"]["value"] > 0 for name in ("we-sd", "we, mixture", "cd-chef"))
    assert rows["we"]["calls_per_token"] == 2
    assert rows["we, mixture"]["calls_per_token"] == 1
    assert rows["we-sd"]["member_acceptance"][0] > 0


def test_bench_goes_on_from_its_log(ensemble, tmp_path):
    given = ("--methods", "we-chef", "--models", "A,B", "--raw", "--n-tests", "1", "--format", "json")
    log = ("--exp-name", "one", "--save-dir", str(tmp_path))
    first = json.loads(ensemble(*given, *log, command="bench").out)
    again = json.loads(ensemble(*given, *log, command="bench").out)
    assert first["rows"] == again["rows"]


def test_members_of_one_model_have_caches_of_their_own(models):
    settings = Settings(method="we", models=(models["A"], models["A"]), target=models["A"], dtype="float32")
    session = Session.load(settings)
    first, second = session.pool.gather(settings.models)
    assert first.reader is not second.reader


def test_a_file_of_prompts_is_answered_token_by_token_and_gone_on_with(
    specdec: Program, models: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text("\n".join(json.dumps({"id": str(n), "prompt": f"{PROMPT} {n}"}) for n in range(3)))
    given = ("ensemble", "--models", f"{models['A']},{models['B']}", "-n", "6", "--input", str(source),
             "--output", str(results), "--quiet")  # fmt: skip
    first = specdec(*given, "--n-tests", "2")
    assert (first.code, first.out) == (0, f"{results}\n"), first.err
    two = json.loads(results.read_text())
    assert specdec(*given, "--exec", "chef").code == 0
    three = json.loads(results.read_text())
    assert three[:2] == two
    assert len(three) == 3
    alone = specdec(*given[:3], "-n", "6", "-p", f"{PROMPT} 2", "--quiet")
    assert three[2]["prediction"] == alone.out.rstrip("\n")
    assert specdec(*given, "-t", "1").code == 2
    rounded = specdec(*given, "--draft-quantize", "int8")
    assert (rounded.code, "other settings: draft_quantize" in rounded.err) == (2, True), rounded.err
    assert {each["settings"]["dtype"] for each in three} == {"float32"}
    wider = specdec(*given, "--dtype", "bfloat16")
    assert (wider.code, "other settings: dtype" in wider.err) == (2, True), wider.err


def test_a_file_of_results_says_what_auto_came_to(
    specdec: Program, models: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text(json.dumps({"id": "p", "prompt": PROMPT}))
    made = specdec("ensemble", "--models", f"{models['A']},{models['B']}", "-n", "2", "--input", str(source),
                   "--output", str(results), "--dtype", "auto", "--quiet")  # fmt: skip
    assert made.code == 0, made.err
    assert json.loads(results.read_text())[0]["settings"]["dtype"] == "float32"


def test_prompts_too_long_for_the_context_are_named_before_anything_is_answered(
    specdec: Program, models: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    prompts = {"short": PROMPT, "long": "x" * 300, "also": PROMPT}
    source.write_text("\n".join(json.dumps({"id": name, "prompt": text}) for name, text in prompts.items()))
    made = specdec("ensemble", "--models", f"{models['A']},{models['B']}", "-n", "6", "--input", str(source),
                   "--output", str(results))  # fmt: skip
    assert made.code == 2
    assert "1 of the prompts cannot be answered (long)" in made.err
    assert not results.exists()
