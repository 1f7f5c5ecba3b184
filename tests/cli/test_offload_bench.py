"""`specdec offload-bench` on tiny models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
from program import Outcome, Program

from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.errors import USAGE

TARGET = {"num_hidden_layers": 8}


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None]) -> None:
    in_folder_with_prompts(2)


@pytest.fixture
def bench(specdec: Program, target: str) -> Program:
    def run(*arguments: str) -> Outcome:
        shared = ["-m", target, "--dataset", "prompts.jsonl", "--n-tests", "2", "-n", "8"]
        return specdec("offload-bench", *shared, *arguments)

    return run


def test_it_prints_specexecs_table_the_streaming_and_the_plan(bench: Program) -> None:
    outcome = bench()
    assert outcome.code == 0, outcome.err
    shown = " ".join(outcome.out.split())  # titles are wrapped
    for word in ("autoregressive", "specexec", "t0", "t1", "tree_size", "speed-up", "2 of 8 layers"):
        assert word in shown
    for word in ("MB/token", "of link", "hidden", "limit", "Peak memory", "against the plan of"):
        assert word in outcome.out
    assert "O_DIRECT" in outcome.out or "posix_fadvise" in outcome.out
    assert "simulated" not in outcome.out
    assert "Plan: " in outcome.err
    assert "layers that stay (2 of 8)" in outcome.err


def test_json_has_the_same_text_for_all_and_the_bytes_of_a_pass(bench: Program) -> None:
    record = json.loads(bench("--format", "json", "--resident-layers", "4", "--draft", "self:int8").out)
    rows = {row["configuration"]: row for row in record["rows"]}
    assert {name: row["same_text"] for name, row in rows.items()} == {
        "autoregressive": 2, "sps": 2, "specexec": 2,
    }  # fmt: skip
    assert {row["identical"] for row in rows.values()} == {"bitwise"}
    assert rows["sps"]["settings"]["gamma"] == 24  # of the target's own copy, a long chain
    assert rows["specexec"]["settings"]["offload"] == "disk"
    streaming = {row["configuration"]: row for row in record["streaming"]}
    plan = record["plan"]
    assert (plan["resident"], plan["layers"]) == (4, 8)
    plain = streaming["autoregressive"]
    assert plain["limit"] == pytest.approx(plain["link"] / plan["pass_bytes"])
    assert plain["bandwidth_share"] == pytest.approx(plain["bandwidth"] / plain["link"])
    guessing = streaming["specexec"]  # measured over a link of its own, which a busy machine slows down
    assert guessing["limit"] / guessing["link"] > plain["limit"] / plain["link"]
    texts = rows["autoregressive"]["prompts"]
    ring = 3 * plan["pass_bytes"] / 4  # what may have been read ahead at either end of each text
    passes = texts * 7
    streamed = plain["bytes_per_token"] * passes
    assert abs(streamed - plan["pass_bytes"] * passes) <= 2 * ring * texts
    assert record["peak_memory_bytes"] > 0


def test_a_slower_link_is_kept_to_and_called_simulated(bench: Program) -> None:
    record = json.loads(bench("--link-gbps", "0.01", "-n", "4", "--format", "json").out)
    assert [row["configuration"] for row in record["streaming"]] == ["autoregressive", "sps", "specexec"]
    jitter = 1 / 12  # a layer of the two passes of six may have been under way when the clock started
    assert all(0.005e9 < row["link"] <= 0.01e9 * (1 + jitter) for row in record["streaming"])
    assert record["simulated_gbps"] == 0.01
    assert "simulated link of 0.05 GB/s" in bench("--link-gbps", "0.05", "-n", "4").out


def test_every_figure_of_a_simulated_link_says_so(specdec: Program, target: str) -> None:
    slow = ["-m", target, "-n", "3", "--offload", "disk", "--resident-layers", "2", "--link-gbps", "0.05"]
    note = "simulated link of 0.05 GB/s"
    assert note in specdec("generate", *slow, "-p", "x", "--method", "ngram").err.splitlines()[-1]
    measured = [
        "bench",
        *slow,
        "--dataset",
        "prompts.jsonl",
        "--n-tests",
        "1",
        "--zero",
        "--exp-name",
        "slow",
    ]
    assert note in " ".join(specdec(*measured).out.split())
    assert note in " ".join(specdec("report", "logs/slow.jsonl").out.split())


def test_to_ask_for_no_offloading_is_refused(bench: Program) -> None:
    outcome = bench("--offload", "none")
    assert outcome.code == USAGE
    assert "Use --offload disk or cpu" in outcome.err


def test_a_target_that_stays_whole_is_no_offload_benchmark(bench: Program) -> None:
    outcome = bench("--resident-layers", "8")
    assert outcome.code == USAGE
    assert "nothing is streamed" in outcome.err


def test_the_method_of_a_preset_or_the_environment_is_measured(
    bench: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECDEC_METHOD", "ngram")
    monkeypatch.setenv("SPECDEC_DRAFT", "ngram")
    rows = json.loads(bench("--format", "json", "-n", "4").out)["rows"]
    assert [row["configuration"] for row in rows] == ["autoregressive", "ngram"]


@pytest.mark.parametrize(("to", "draft"), [("cpu", "ngram"), ("disk", "self:int4")])
def test_the_usual_draft_is_one_that_the_offloaded_target_can_have(
    specdec: Program, target: str, monkeypatch: pytest.MonkeyPatch, to: str, draft: str
) -> None:
    wanted: list[Configuration] = []
    monkeypatch.setattr("specdec_cli.cli.offload_bench.run", lambda found, *_: wanted.extend(found))
    assert specdec("offload-bench", "-m", target, "--offload", to).code == 0
    assert {each.settings.draft for each in wanted if each.name != each.baseline} == {draft}


def test_a_log_keeps_what_was_streamed_and_is_gone_on_from(bench: Program, tmp_path: Path) -> None:
    assert bench("--exp-name", "exp").code == 0
    log = tmp_path / "logs" / "exp.jsonl"
    lines = log.read_text().splitlines()
    assert all(json.loads(line)["streamed_bytes"] > 0 for line in lines if '"autoregressive"' in line)
    log.write_text("\n".join(lines[:-1]) + "\n")
    assert bench("--exp-name", "exp").code == 0
    assert len(log.read_text().splitlines()) == len(lines)


def rows(bench: Program, *more: str) -> dict[str, dict[str, Any]]:
    outcome = bench("--draft", "self:int8", "--format", "json", "--ignore-eos", *more)
    assert outcome.code == 0, outcome.err
    return {row["configuration"]: row for row in json.loads(outcome.out)["rows"]}


def test_verifiers_and_trees_are_compared_as_in_memory(bench: Program) -> None:
    found = rows(bench, "--methods", "sps", "--verify", "token,block", "--gamma", "2")
    assert {"sps, verify token", "sps, verify block"} <= set(found)
    trees = rows(bench, "--methods", "rrsw", "--tree", "1x1,3x1", "-t", "1")
    small, large = (trees[f"rrsw, tree {each}"] for each in ("1x1", "3x1"))
    assert small["tree_size"] <= 2 < large["tree_size"] <= 6  # near its end a text takes smaller ones
    assert large["tree_depth"] <= 2
    hubs = ("--methods", "spechub,specexec", "-t", "1", "--hub-above", "0.5", "--coupled")
    settings = {name: row["settings"] for name, row in rows(bench, *hubs).items()}
    assert [settings[name]["hub_above"] for name in ("spechub", "specexec")] == [0.5, 0.0]
    assert [settings[name]["coupled"] for name in ("spechub", "specexec")] == [False, True]


@pytest.mark.parametrize("flags", [("--top-k", "1"), ("--min-p", "1")])
def test_filters_and_ends_are_those_of_the_flags(
    bench: Program, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    found = []
    for name, sampling in (("greedy", ()), ("kept", ("-t", "1", *flags))):
        rows(bench, "--methods", "sps", "--exp-name", name, *sampling)
        lines = (tmp_path / "logs" / f"{name}.jsonl").read_text().splitlines()
        found.append({(run := json.loads(line))["item"]: run["text_hash"] for line in lines})
    assert found[0] == found[1]


def test_texts_end_and_prompts_begin_as_the_flags_say(bench: Program, tmp_path: Path) -> None:
    for name, flags in (("whole", ()), ("ended", tuple(f"--stop={letter}" for letter in tiny.ASCII[2:]))):
        rows(bench, "--methods", "sps", "--exp-name", name, *flags)
        runs = map(json.loads, (tmp_path / "logs" / f"{name}.jsonl").read_text().splitlines())
        assert {run["tokens"] for run in runs} == {8 if name == "whole" else 1}
    refused = bench("--system", "Be brief.")
    assert (refused.code, "chat template" in refused.err) == (USAGE, True)
