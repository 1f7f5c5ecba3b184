"""`specdec evaluate` as the user meets it."""

import json
from pathlib import Path

import pytest
from program import Program

from specdec_cli.errors import SpecdecError
from specdec_cli.evaluation import sandbox

RECORDS = [
    {"instruction": "Say hi", "output": "The cat sat on the mat.", "spec_pred": "The cat is on the mat."},
    {"instruction": "Say ho", "output": "It rains today.", "spec_pred": ""},
]


def refusal_of_programs() -> SpecdecError | None:
    """Why no program can be run here, if so: as root, that takes bubblewrap."""
    try:
        sandbox.require_sandbox()
    except SpecdecError as error:
        return error
    return None


@pytest.fixture
def results(tmp_path: Path) -> str:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RECORDS))
    return str(path)


def test_scores_go_to_stdout_and_remarks_to_stderr(specdec: Program, results: str) -> None:
    outcome = specdec("evaluate", results)
    assert outcome.code == 0
    assert all(name in outcome.out for name in ("BLEU", "ROUGE-L", "exact", "tok:13a"))
    assert "1 answer is empty" in outcome.err
    assert specdec("evaluate", results, "--quiet").err == ""


def test_json_has_every_score_unrounded(specdec: Program, results: str) -> None:
    from sacrebleu.metrics.bleu import BLEU

    made = json.loads(specdec("evaluate", results, "--json", "--compare", results).out)
    row = made["files"][0]["rows"][0]
    expected = BLEU().corpus_score(
        [each["spec_pred"] for each in RECORDS], [[each["output"] for each in RECORDS]]
    )
    assert (row["scores"]["bleu"]["value"], row["empty"], row["answers"]) == (expected.score, 1, 2)
    assert {each["difference"] for each in made["differences"]} == {0}


def test_cn_is_zh(specdec: Program, results: str) -> None:
    made = json.loads(specdec("evaluate", results, "--lang", "cn", "--json", "--metrics", "bleu").out)
    assert [row["language"] for row in made["files"][0]["rows"]] == ["zh"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metrics", "humaneval"], "--allow-code-execution"),
        (["--metrics", "blue"], "There is no metric 'blue'"),
        (["--metrics", " "], "There is no metric"),
        (["--lang", "fr"], "There is no language 'fr'"),
        (["--metrics", "gsm8k"], "None of the answers can be scored by gsm8k"),
        (["--compare", "nowhere.json"], "nowhere.json cannot be read"),
        (["--prediction-field", "mine"], "none of its fields is an answer"),
        (["--metrics", "bertscore", "--bertscore-model", "."], "config.json"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    specdec: Program, results: str, arguments: list[str], said: str
) -> None:
    outcome = specdec("evaluate", results, *arguments)
    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert said in outcome.err


def test_programs_are_run_once_that_is_allowed(specdec: Program, tmp_path: Path) -> None:
    path = tmp_path / "code.jsonl"
    test = "def check(candidate):\n    assert candidate() == 1\n"
    record = {"prompt": "def one():\n", "prediction": "    return 1", "test": test, "entry_point": "one"}
    path.write_text(json.dumps(record))
    outcome = specdec(
        "evaluate", str(path), "--metrics", "humaneval", "--allow-code-execution", "--json", "--quiet"
    )
    refused = refusal_of_programs()
    if refused is not None:
        assert (outcome.code, outcome.out) == (refused.exit_code, "")
        assert refused.problem in outcome.err
        return
    row = json.loads(outcome.out)["files"][0]["rows"][0]
    assert row["scores"]["humaneval"]["value"] == 100


@pytest.mark.parametrize("seconds", ["inf", "nan"])
def test_seconds_without_an_end_are_refused(specdec: Program, seconds: str) -> None:
    outcome = specdec("evaluate", "none.json", "--code-seconds", seconds)
    assert (outcome.code, "--code-seconds" in outcome.err) == (2, True)
