"""`specdec ensemble`, and ensembles under generate and bench, on tiny random models."""

import json
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
import torch
from generating import COUNT, PROMPT
from program import Outcome, Program
from transformers import AutoModelForCausalLM, AutoTokenizer

from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

pytestmark = pytest.mark.usefixtures("own_cache")


def tokens(outcome: Outcome) -> list[int]:
    assert outcome.code == 0, outcome.err
    return list(json.loads(outcome.out)["token_ids"])


def expected(folders: dict[str, str], names: list[str], combine) -> list[int]:
    """Greedy decoding of combined logits by transformers, without a cache."""
    text = AutoTokenizer.from_pretrained(folders["A"])(PROMPT)["input_ids"]
    loaded = [AutoModelForCausalLM.from_pretrained(folders[name], dtype=torch.float32) for name in names]
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
def test_a_greedy_average_is_that_of_transformers(ensemble, folders, names, algorithm):
    made = ensemble("--models", ",".join(names), "--algorithm", algorithm, "--json")
    assert json.loads(made.out)["identical"] == "bitwise"
    assert tokens(made) == expected(folders, names, average)


@pytest.mark.parametrize("method", ["cd", "cd_sd", "cd-chef"])
def test_greedy_contrastive_decoding_is_that_of_transformers_under_generate_too(ensemble, folders, method):
    given = ("--amateur", "B", "--target", "A", "--mu", "0.5", "--json", "--raw")
    made = ensemble("--method", method, *given, command="generate")
    assert tokens(made) == expected(folders, ["A", "B"], lambda rows: rows[0] - 0.5 * rows[1])


def test_proxy_tuning_and_geometric_averages_are_those_of_transformers(ensemble, folders):
    proxy = ensemble("--models", "A,B,C", "--ensemble-fn", "proxy", "--exec", "chef", "--json")
    assert tokens(proxy) == expected(folders, ["A", "B", "C"], lambda rows: rows[0] + rows[1] - rows[2])
    mean = ensemble(
        "--models", "A,B", "--ensemble-fn", "geometric", "--weights", "3,1", "--exec", "sd", "--json"
    )
    assert tokens(mean) == expected(folders, ["A", "B"], lambda rows: 0.75 * rows[0] + 0.25 * rows[1])


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


def test_a_named_algorithm_goes_before_that_of_a_preset(ensemble, folders, tmp_path):
    preset = tmp_path / "own.yaml"
    preset.write_text(f"algorithm: specem\nmodels: [{folders['A']}, {folders['B']}]\nmax-words: 5\n")
    made = json.loads(ensemble("--preset", str(preset), "--algorithm", "we", "--json").out)
    assert (made["settings"]["method"], made["settings"]["algorithm"]) == ("we", None)
    assert made["token_ids"] == expected(folders, ["A", "B"], average)


def test_large_model_is_the_first_alone(ensemble):
    alone = ensemble("--target", "A", "--method", "large_model", "--json", command="generate")
    assert tokens(ensemble("--models", "A,B", "--algorithm", "large_model", "--json")) == tokens(alone)


def test_the_record_says_who_proposed_what_and_who_was_called(ensemble, folders):
    made = json.loads(ensemble("--models", "A,B", "--exec", "chef", "--json").out)
    members = made["ensemble"]["members"]
    assert len(made["ensemble"]["owners"]) == len(made["token_ids"])
    assert set(made["ensemble"]["owners"]) <= {0, 1, None}
    accepted = [member["accepted"] for member in members]
    assert [made["ensemble"]["owners"].count(place) for place in (0, 1)] == accepted
    calls = sum(member["calls"] for member in members)
    assert made["ensemble"]["calls_per_token"] == calls / len(made["token_ids"])
    assert [member["name"] for member in made["models"]["members"]] == [folders["A"], folders["B"]]


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


def test_members_of_one_model_have_caches_of_their_own(folders):
    settings = Settings(
        method="we", models=(folders["A"], folders["A"]), target=folders["A"], dtype="float32"
    )
    session = Session.load(settings)
    first, second = session.pool.gather(settings.models)
    assert first.reader is not second.reader


def test_a_file_of_prompts_is_answered_token_by_token_and_gone_on_with(
    specdec: Program, folders: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text("\n".join(json.dumps({"id": str(n), "prompt": f"{PROMPT} {n}"}) for n in range(3)))
    given = ("ensemble", "--models", f"{folders['A']},{folders['B']}", "-n", "6", "--input", str(source),
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
    specdec: Program, folders: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text(json.dumps({"id": "p", "prompt": PROMPT}))
    made = specdec("ensemble", "--models", f"{folders['A']},{folders['B']}", "-n", "2", "--input",
                   str(source), "--output", str(results), "--dtype", "auto", "--quiet")  # fmt: skip
    assert made.code == 0, made.err
    assert json.loads(results.read_text())[0]["settings"]["dtype"] == "float32"


def test_prompts_too_long_for_the_context_are_named_before_anything_is_answered(
    specdec: Program, folders: dict[str, str], tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    prompts = {"short": PROMPT, "long": "x" * 300, "also": PROMPT}
    source.write_text("\n".join(json.dumps({"id": name, "prompt": text}) for name, text in prompts.items()))
    made = specdec("ensemble", "--models", f"{folders['A']},{folders['B']}", "-n", "6", "--input",
                   str(source), "--output", str(results))  # fmt: skip
    assert made.code == 2
    assert "1 of the prompts cannot be answered (long)" in made.err
    assert not results.exists()
