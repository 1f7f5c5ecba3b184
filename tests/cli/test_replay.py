"""`--trace` and `specdec replay` on a tiny model."""

import json
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
from program import Program

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    prompts = [{"id": f"p{place}", "prompt": f"the cat and dog {place}"} for place in range(3)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))


def test_a_bench_is_traced_and_replayed(specdec: Program, target: str) -> None:
    shared = ("-m", target, "-d", "layers:1", "--ignore-eos", "-t", "0.8", "-n", "8")
    data = ("--dataset", "prompts.jsonl", "--n-tests", "3")
    run = specdec("bench", *shared, *data, "--methods", "rrsw", "--trace", "t.jsonl.gz")
    assert run.code == 0, run.err
    asked = ("--methods", "sps,topk", "--gamma", "1,2")
    record = json.loads(specdec("replay", "t.jsonl.gz", *asked, "--json").out)
    names = [row["method"] for row in record["rows"]]
    assert names == ["", "sps, gamma 1", "sps, gamma 2", "topk"]
    own = record["rows"][0]
    assert own["recorded"] == "rrsw"
    assert own["prompts"] == 3
    assert own["tokens_per_pass"] == pytest.approx(own["with_models"], abs=0.02)
    table = specdec("replay", "t.jsonl.gz", "--methods", "topk")
    for word in ("Recorded with rrsw", "as it came out", "with the models", "from the trace", "topk"):
        assert word in table.out
    again = specdec("bench", *shared, *data, "--trace", "t.jsonl.gz")
    assert (again.code, again.out) == (2, "")
    assert "already" in again.err


def test_generate_writes_the_same_text_with_a_trace(specdec: Program, target: str) -> None:
    shared = ("-p", "the cat", "-m", target, "-d", "layers:1", "--method", "sps", "--ignore-eos", "-n", "8")
    plain = specdec("generate", *shared)
    traced = specdec("generate", *shared, "--trace", "one.jsonl")
    assert traced.out == plain.out
    assert "sps" in specdec("replay", "one.jsonl").out


def test_n_grams_are_replayed_on_a_trace_of_another_draft(specdec: Program, target: str) -> None:
    shared = ("-p", "ab ab ab ab ab", "-m", target, "-d", "layers:1", "--ignore-eos", "-n", "8")
    assert specdec("generate", *shared, "--method", "sps", "--trace", "one.jsonl").code == 0
    replayed = specdec("replay", "one.jsonl", "--methods", "ngram,sps", "--json")
    assert replayed.code == 0, replayed.err
    assert [row["method"] for row in json.loads(replayed.out)["rows"]] == ["", "ngram", "sps"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["replay", "nowhere.jsonl"], "no file nowhere.jsonl"),
        (["replay", "prompts.jsonl"], "prompts.jsonl, line 1: not a trace"),
        (["replay", "prompts.jsonl", "--methods", "magic"], "no method 'magic'"),
        (["generate", "-p", "x", "--coupled", "-t", "1", "--trace", "t.jsonl"], "--coupled"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(specdec: Program, arguments: list[str], problem: str) -> None:
    outcome = specdec(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err
