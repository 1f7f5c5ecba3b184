"""`specdec inspect` on a tiny model."""

import json
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
from program import Program

from specdec_cli.errors import NO_ROOM
from specdec_cli.registry.methods import METHODS

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].is_ensemble])
def test_every_method_can_be_drawn(specdec: Program, target: str, method: str) -> None:
    draft = [] if method == "ngram" else ["-d", "layers:1"]
    outcome = specdec(
        "inspect",
        "-p",
        "the cat the cat",
        "-m",
        target,
        *draft,
        "--method",
        method,
        "--steps",
        "2",
        "--ignore-eos",
    )
    assert outcome.code == 0, outcome.err
    assert "step 1 at" in outcome.out
    assert "step 2 at" in outcome.out
    assert "step 3 at" not in outcome.out
    assert "\x1b[" not in outcome.out
    assert outcome.err == "Stopped after --steps 2; the text goes on.\n"


def test_a_text_that_is_drawn_to_its_end_is_not_said_to_go_on(specdec: Program, target: str) -> None:
    asked = ("-p", "the cat", "-m", target, "-d", "layers:1", "--method", "sps", "-n", "3", "--ignore-eos")
    outcome = specdec("inspect", *asked)
    assert "ends: length" in outcome.out
    assert outcome.err == ""


def test_json_has_every_step_and_its_guesses(specdec: Program, target: str) -> None:
    models = ("-m", target, "-d", "layers:1", "--method", "sps")
    record = json.loads(specdec("inspect", "-p", "the cat", *models, "-n", "5", "--ignore-eos", "--json").out)
    assert record["schema_version"] == 1
    assert record["settings"]["method"] == "sps"
    assert sum(step["emitted"] for step in record["steps"]) == 5
    assert record["steps"][-1]["finish_reason"] == "length"
    assert {"token", "text", "parent", "fate", "target", "draft"} == set(record["steps"][0]["guesses"][0])


@pytest.mark.parametrize("arguments", [["--steps", "0", "-p", "x"], [], ["-p", ""]])
def test_what_cannot_be_drawn_is_a_usage_error(specdec: Program, arguments: list[str]) -> None:
    outcome = specdec("inspect", *arguments)
    assert (outcome.code, outcome.out) == (2, "")


def test_an_ensemble_is_not_drawn_but_another_way_to_look_is_named(specdec: Program, target: str) -> None:
    outcome = specdec("inspect", "-p", "x", "--method", "we", "-m", target, "--draft", "self:int8")
    assert outcome.code == 2
    assert "--show-owners" in outcome.err


def test_an_offloaded_target_draws_the_same_trees(specdec: Program, target: str) -> None:
    asked = ("-p", "the cat", "-m", target, "-d", "ngram", "-n", "6", "--ignore-eos", "--json")
    whole = json.loads(specdec("inspect", *asked).out)
    streamed = json.loads(specdec("inspect", *asked, "--offload", "disk", "--resident-layers", "1").out)
    assert (whole["settings"]["offload"], streamed["settings"]["offload"]) == ("none", "disk")
    drawn = [
        [(step["emitted"], [guess["token"] for guess in step["guesses"]]) for step in each["steps"]]
        for each in (whole, streamed)
    ]
    assert drawn[0] == drawn[1] != []
    small = specdec("inspect", *asked, "--offload", "disk", "--memory-limit", "1KB")
    assert (small.code, small.out) == (NO_ROOM, "")
