"""`specdec audit` and `specdec trees` on tiny models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
from program import Program

from specdec_cli.errors import CHECK_FAILED

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def test_the_exact_level_needs_no_model_and_says_what_it_walked(specdec: Program) -> None:
    outcome = specdec("audit", "--methods", "sps,spechub")
    assert outcome.code == 0
    assert outcome.out.rstrip().endswith("PASSED")
    for word in ("block", "traversal", "2x1", "pass"):
        assert word in outcome.out


def test_all_levels_on_models_leave_a_certificate(specdec: Program, target: str, tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    outcome = specdec(
        "audit", "--level", "all", "--methods", "spechub,specexec", "--bound", "-m", target, "-d", "layers:1",
        "--samples", "60", "--length", "2", "--n-tests", "2", "-n", "12", "--output", str(file),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["passed"] is True
    checked = {"spechub", "spechub, traversal", "specexec"}
    assert set(record["greedy"]) == set(record["statistical"]) == set(record["methods"]["models"]) == checked
    assert all(check["passed"] for check in record["exact"])
    assert record["greedy"]["spechub"]["wrong"] == 0
    assert {check["identical"] for check in record["greedy"].values()} == {"bitwise"}
    assert record["greedy"]["specexec"]["bits"] == {"moved": 0, "seeded": 2, "parted": 0}
    assert record["identical"] == dict.fromkeys(checked, "bitwise")
    assert 0 <= record["bound"]["spechub"]["bound"] <= 1
    assert [test["samples"] for test in record["statistical"]["specexec"]] == [60, 60, 60]
    assert record["temperature"] == {"statistical": 1.0, "bound": 1.0, "greedy": 0.0}
    assert record["models"]["target"]["name"] == target
    assert record["machine"]["torch"]
    assert "would see" in outcome.out
    assert "tokens per pass" in outcome.out


def test_a_method_that_fails_ends_in_five_and_the_certificate_says_so(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from specdec_cli.runtime.build import VERIFIERS
    from specdec_cli.verification.own_sample import follow_own_sample

    def wrong(tree, target, randomness, position):
        return follow_own_sample(tree, [row.sqrt() for row in target], randomness, position)

    monkeypatch.setitem(VERIFIERS, "rejection", wrong)
    file = tmp_path / "certificate.json"
    outcome = specdec("audit", "--methods", "sps", "--output", str(file))
    assert outcome.code == CHECK_FAILED
    assert "FAIL" in outcome.out
    assert json.loads(file.read_text(encoding="utf-8"))["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--level", "perfect"], "There is no level 'perfect'."),
        (["--level", ","], "--level names no level"),
        (["--methods", ""], "--methods names no method"),
        (["--methods", "sps", "--tree", "2^3"], "takes no tree"),
        (["--methods", "sps,magic"], "There is no method 'magic'."),
        (["--output", "nowhere/at/all.json"], "cannot be written"),
        (["--samples", "3"], "--samples"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(specdec: Program, arguments: list[str], problem: str) -> None:
    outcome = specdec("audit", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err


def test_a_tree_is_shown_level_by_level(specdec: Program) -> None:
    outcome = specdec("trees", "show", "3x1")
    assert outcome.code == 0
    assert "6 guesses, 2 levels" in outcome.out
    assert json.loads(specdec("trees", "show", "3x1", "--json").out) == {"parents": [-1, -1, -1, 0, 1, 2]}
    assert specdec("trees", "show", "wide").code == 2


@pytest.mark.parametrize("method", ["sequoia", "topk"])
def test_a_tree_is_planned_written_and_used(
    specdec: Program, target: str, tmp_path: Path, method: str
) -> None:
    file = tmp_path / "tree.json"
    models = ["-m", target, "-d", "layers:1", "-t", "1"]
    outcome = specdec(
        "trees", "plan", *models, "--method", method, "--budget", "6", "--n-tests", "1", "-n", "8",
        "--output", str(file),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "Planned" in outcome.out
    record = json.loads(file.read_text(encoding="utf-8"))
    assert 0 < len(record["parents"]) <= 6
    assert 0 <= sum(record["acceptance"]) <= 1
    used = specdec("generate", *models, "--method", method, "--tree", str(file), "-n", "8", "-p", "the cat")
    assert used.code == 0


def test_the_fastest_tree_may_be_none(specdec: Program, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from specdec_cli.benchmarking import acceptance

    costly = acceptance.Costs({1: 1.0, 2: 1.0, 3: 1.0}, draft_seconds=10.0)
    monkeypatch.setattr(acceptance, "measure_costs", lambda *_: costly)
    outcome = specdec(
        "trees",
        "plan",
        "-m",
        target,
        "-d",
        "layers:1",
        "--budget",
        "2",
        "--n-tests",
        "1",
        "-n",
        "4",
        "--fastest",
    )
    assert outcome.code == 0
    assert "Do not speculate here" in outcome.out


def test_only_methods_with_trees_can_have_one_planned(specdec: Program, target: str) -> None:
    outcome = specdec("trees", "plan", "-m", target, "--method", "sps")
    assert outcome.code == 2
    assert "No tree can be planned" in outcome.err


@pytest.fixture
def bound(specdec: Program, target: str) -> Callable[..., dict[str, Any]]:
    """What a bound says of a method on a prompt that repeats itself."""

    def run(method: str, *more: str) -> dict[str, Any]:
        asked = ("audit", "--bound", "--methods", method, "-m", target, "-n", "12", "-p", "dog1 hog2 dog")
        draft = () if method == "ngram" else ("-d", "layers:1")
        outcome = specdec(*asked, *draft, *more, "--json")
        assert outcome.code == 0, outcome.err
        found: dict[str, Any] = json.loads(outcome.out)["bound"][method]
        return found

    return run


@pytest.mark.parametrize(
    ("method", "flag"),
    [
        ("specexec", "--min-log-prob=0"),  # less than every guess has
        ("specexec", "--decay=0.0001"),  # wide instead of deep
        ("ngram", "--ngram-size=2"),  # "og" was last followed by 2, "dog" by 1
    ],
)
def test_the_shape_of_what_is_drafted_is_that_of_the_flags(
    bound: Callable[..., dict[str, Any]], method: str, flag: str
) -> None:
    assert bound(method, "--ignore-eos") != bound(method, "--ignore-eos", flag)


def test_texts_go_on_after_the_models_end_where_it_is_to_be_ignored(specdec: Program, tmp_path: Path) -> None:
    early = str(tiny.folder(tmp_path / "early", **SHARP, eos_token_id=list(range(2, 60))))
    asked = ("audit", "--level", "greedy", "--methods", "sps", "-m", early, "-d", "layers:1", "-n", "9")
    tokens = [
        json.loads(specdec(*asked, "-p", "the cat", *more, "--json").out)["greedy"]["sps"]["tokens"]
        for more in ((), ("--ignore-eos",))
    ]
    assert tokens[0] < tokens[1] == 9


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--system", "Be brief."], "needs a chat template"),
        (["--draft-device", "cuda:99"], "cuda:99"),
    ],
)
@pytest.mark.parametrize("command", [["audit", "--level", "greedy", "--methods", "sps"], ["trees", "plan"]])
def test_flags_of_the_models_and_the_prompt_are_heeded(
    specdec: Program, target: str, command: list[str], flags: list[str], problem: str
) -> None:
    outcome = specdec(*command, "-m", target, "-d", "layers:1", "-n", "4", "--n-tests", "1", *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err


def test_a_plan_is_made_under_the_filters_and_the_weights_that_are_asked_for(
    specdec: Program, target: str
) -> None:
    asked = (
        "trees",
        "plan",
        "-m",
        target,
        "-d",
        "layers:1",
        "-t",
        "1",
        "-n",
        "8",
        "--n-tests",
        "1",
        "--json",
    )
    plain, best, likely, rounded = (
        json.loads(specdec(*asked, *more).out)
        for more in ((), ("--top-k", "1"), ("--min-p", "1"), ("--quantize", "int8", "--raw"))
    )
    assert plain["acceptance"][1] > 0
    assert best["acceptance"] == likely["acceptance"]
    assert best["acceptance"][1:] == [0.0] * (len(best["acceptance"]) - 1)  # one token is all there is
    assert rounded["acceptance"] != plain["acceptance"]


def test_a_variable_goes_before_a_plans_own_length(
    specdec: Program, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("trees", "plan", "-m", target, "-d", "layers:1", "--n-tests", "1", "--json")
    lengths = [json.loads(specdec(*asked).out)["settings"]["max_tokens"]]
    monkeypatch.setenv("SPECDEC_MAX_TOKENS", "5")
    lengths += [
        json.loads(specdec(*asked, *more).out)["settings"]["max_tokens"] for more in ((), ("-n", "7"))
    ]
    assert lengths == [64, 5, 7]
