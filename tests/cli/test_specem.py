"""`specdec ensemble --algorithm specem` as the user meets it, on tiny models."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
from program import Program

from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Step

SIZES = {"initializer_range": 0.3, "max_position_embeddings": 128}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("models")
    other = (*tiny.SPECIAL, *reversed(tiny.ASCII[2:]))
    folders = [
        tiny.folder(root / "one", words=tiny.ASCII, seed=1, **SIZES),
        tiny.folder(root / "two", words=other, seed=2, **SIZES),
    ]
    return ",".join(map(str, folders))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def arguments(models: str, *more: str) -> list[str]:
    small = ["--window-size", "4", "--max-words", "6", "--threads", "1"]
    return ["ensemble", "--algorithm", "specem", "--models", models, *small, *more]


def test_the_text_goes_to_stdout_and_who_wrote_it_to_stderr(specdec: Program, models: str) -> None:
    outcome = specdec(*arguments(models, "-p", "Hello?"))
    assert outcome.code == 0
    made = json.loads(specdec(*arguments(models, "-p", "Hello?", "--json")).out)
    assert outcome.out == made["text"] + "\n" == "".join(each["text"] for each in made["segments"]) + "\n"
    assert made["identical"] == "bitwise"
    assert "weight" in outcome.err
    assert "rounds/s" in outcome.err
    assert specdec(*arguments(models, "-p", "Hello?", "--quiet", "--stream")).out == outcome.out


def test_reading_everything_anew_gives_the_same_text(specdec: Program, models: str) -> None:
    texts = [specdec(*arguments(models, "-p", "Hello?", flag)).out for flag in ("--cache", "--no-cache")]
    assert texts[0] == texts[1] != ""


def test_a_file_of_prompts_becomes_a_file_of_answers_to_score(
    specdec: Program, models: str, tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text(
        "\n".join(json.dumps({"instruction": f"{n}?", "output": "x", "dataset": "d"}) for n in range(3))
    )
    more = ("--input", str(source), "--output", str(results))
    first = specdec(*arguments(models, *more, "--n-tests", "2", "--names", "specem"))
    assert (first.code, first.out) == (0, f"{results}\n")
    again = specdec(*arguments(models, *more, "--names", "specem"))
    assert "3 answers, 1 of them new" in again.err
    records = json.loads(results.read_text())
    assert [(each["instruction"], each["output"], each["dataset"]) for each in records] == [
        (f"{number}?", "x", "d") for number in range(3)
    ]
    assert sum(records[0]["wins"].values()) >= records[0]["rounds"]
    assert specdec("evaluate", str(results)).code == 0
    other = specdec(*arguments(models, *more, "--names", "specem", "--seed", "5"))
    assert (other.code, "other settings: seed" in other.err) == (2, True)
    other = specdec(*arguments(models, *more, "--names", "specem", "--method", "ngram"))
    assert (other.code, "other settings: method" in other.err) == (2, True)


def test_prompts_too_long_for_a_member_are_named_before_anything_is_answered(
    specdec: Program, models: str, tmp_path: Path
) -> None:
    source, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    source.write_text("\n".join(json.dumps({"id": f"p{n}", "prompt": "x" * n}) for n in (3, 500)))
    outcome = specdec(*arguments(models, "--input", str(source), "--output", str(results)))
    assert (outcome.code, "cannot be answered (p500)" in outcome.err) == (2, True)
    assert not results.exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-p", "x", "--models", " "], "none of them empty"),
        (["--output", "r.json", "-p", "x"], "--output is for many prompts"),
        (["--input", "prompts"], "--input takes --output"),
        (["--input", "prompts", "--output", "r.txt"], "--input takes --output"),
        ([], "There is no prompt"),
        (["-p", "x", "--max-tokens", "9"], "--max-tokens has no use"),
        (["-p", "x", "--target", "one"], "--target has no use"),
        (["-p", "x", "--draft", "ngram"], "--draft has no use"),
        (["-p", "x", "--gamma", "3"], "--gamma has no use"),
        (["-p", "x", "--method", "sps", "--gamma", "3,4"], "--gamma has no use"),
        (["-p", "x", "--show-owners"], "--show-owners has no use"),
        (["-p", "x", "--names", "specem"], "--names is for many prompts"),
        (["-p", "x", "--system", "Be brief.", "--raw"], "needs a chat template"),
        (["-p", "x", "--weights", "1"], "1 weights for 2 models"),
        (["-p", "x", "--scoring", "rank"], "logprob"),
        (["-p", "x", "--window-size", "0"], "at least 1"),
        (["-p", "x", "--algorithm", "vote"], "specem"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    specdec: Program, models: str, more: list[str], said: str
) -> None:
    outcome = specdec(*arguments(models, *more))
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


@pytest.fixture
def drafted(specdec: Program, models: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Step]]:
    """The steps by which members draft segments, each with a draft of its first layer."""

    def run(method: str, *flags: str) -> list[Step]:
        seen: list[Step] = []

        def watched(*given: Any) -> Iterator[Step]:
            for step in decode(*given):
                seen.append(step)
                yield step

        monkeypatch.setattr("specdec_cli.specem.member.decode", watched)
        more = ("-p", "Hello?", "--method", method, "--draft", "layers:1", *flags)
        outcome = specdec(*arguments(models, *more))
        assert (outcome.code, outcome.out == "") == (0, False), outcome.err
        assert seen
        return seen

    return run


def test_members_draft_the_shape_that_is_asked_for(drafted: Callable[..., list[Step]]) -> None:
    assert max(step.depth for step in drafted("specexec")) > 1
    assert max(step.depth for step in drafted("specexec", "--max-beam-len", "1")) == 1
    assert all(step.drafted == step.depth for step in drafted("specexec", "--max-branch-width", "1"))
    assert all(step.drafted == 0 for step in drafted("specexec", "--min-log-prob", "0"))
    assert max(step.drafted for step in drafted("rrsw", "--tree", "3x1", "-t", "1")) == 6


def test_results_of_another_tree_are_other_results(specdec: Program, models: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"id": "p", "prompt": "x?"}))
    files = ("--input", str(tmp_path / "prompts.jsonl"), "--output", str(tmp_path / "results.json"))
    asked = arguments(models, *files, "--method", "rrsw", "--draft", "layers:1", "-t", "1")
    assert specdec(*asked).code == 0
    assert specdec(*asked, "--decay", "0.5").code == 0  # which no tree of this method follows
    other = specdec(*asked, "--tree", "3x1")
    assert (other.code, "other settings: tree" in other.err) == (2, True)
