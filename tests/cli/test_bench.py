"""`specdec bench` on tiny models: its tables, what it compares, and what its flags do."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
from program import Outcome, Program

from specdec_cli.errors import CHECK_FAILED
from specdec_cli.verification.base import Verdict


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None]) -> None:
    in_folder_with_prompts(4)


def test_a_sweep_gives_specexecs_table_with_speedups(bench: Program) -> None:
    outcome = bench("--method", "specexec", "--max-budget", "4, 8", "--max-n-beams", "2")
    assert outcome.code == 0, outcome.err
    tree = ("beams", "max_h", "budget", "branch", "tree_h", "tree_size", "min_CLP")
    for word in (*tree, "t0", "t1", "exp_time", "gen_rate", "gen_speed", "speed-up"):
        assert word in outcome.out
    for name in ("autoregressive", "specexec, budget 4", "specexec, budget 8"):
        assert name in outcome.out


def test_json_has_rows_settings_and_machine(bench: Program) -> None:
    record = json.loads(bench("--methods", "sps,spechub", "--format", "json", "--gamma", "1-2").out)
    rows = {row["configuration"]: row for row in record["rows"]}
    assert set(rows) == {"autoregressive", "sps, gamma 1", "sps, gamma 2", "spechub"}
    assert rows["autoregressive"]["gen_rate"] == 1.0
    assert rows["autoregressive"]["speedup"] is None
    assert rows["sps, gamma 2"]["settings"]["gamma"] == 2
    assert rows["sps, gamma 1"]["prompts"] == 2
    assert rows["sps, gamma 1"]["same_text"] == 2  # greedy texts agree
    assert {row["identical"] for row in rows.values()} == {"bitwise"}
    assert record["machine"]["torch"]


def test_a_text_that_is_another_though_bits_are_promised_ends_in_five(
    bench: Program, specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specdec_cli.runtime.build import VERIFIERS

    def wrong(tree: Any, target: Any, randomness: Any, position: int) -> Verdict:
        return Verdict((), 5)

    monkeypatch.setitem(VERIFIERS, "rejection", wrong)
    asked = ("--methods", "sps,specexec", "--exp-name", "log", "--quiet")
    for outcome in (bench(*asked), specdec("report", "logs/log.jsonl", "--format", "json", "--quiet")):
        assert outcome.code == CHECK_FAILED
        assert "not plain decoding's, though `identical` is bitwise: sps." in outcome.err
        assert "sps" in outcome.out  # the figures are shown all the same
    drawn = bench("--method", "sps", "-t", "1", "--format", "json")  # by chance of its own
    promises = {row["configuration"]: row["identical"] for row in json.loads(drawn.out)["rows"]}
    assert (drawn.code, promises) == (0, {"autoregressive": "bitwise", "sps": None})


def test_csv_and_markdown_hold_the_same_rows(bench: Program) -> None:
    rows = list(csv.DictReader(io.StringIO(bench("--format", "csv").out)))
    assert [row["configuration"] for row in rows] == ["autoregressive", "specexec"]
    assert float(rows[1]["speedup"]) > 0
    assert rows[0]["budget"] == ""
    lines = bench("--format", "markdown").out.splitlines()
    assert lines[0].startswith("| configuration | beams |")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| autoregressive", "| specexec"]


def test_zero_is_plain_decoding_alone(bench: Program) -> None:
    rows = list(csv.DictReader(io.StringIO(bench("--zero", "--format", "csv").out)))
    assert [row["configuration"] for row in rows] == ["autoregressive"]


def test_figures_say_the_number_format_that_they_were_measured_in(bench: Program) -> None:
    assert json.loads(bench("--format", "json").out)["machine"]["dtype"] == "float32"
    assert ", float32, 2 prompts of " in " ".join(bench().out.split())


def test_order_turns_from_prompt_to_prompt(bench: Program, tmp_path: Path) -> None:
    bench("--exp-name", "turns")
    lines = [json.loads(line) for line in (tmp_path / "logs" / "turns.jsonl").read_text().splitlines()]
    assert [line["configuration"] for line in lines] == [
        "autoregressive",
        "specexec",
        "specexec",
        "autoregressive",
    ]


def test_peers_run_beside_and_their_tokens_are_ids(bench: Program) -> None:
    record = json.loads(bench("--peer", "transformers", "--format", "json", "--method", "sps").out)
    rows = {row["configuration"]: row for row in record["rows"]}
    assert {"transformers", "transformers, prompt lookup"} <= set(rows)
    assert rows["transformers"]["same_text"] == 2  # greedy texts agree with ours
    assert rows["transformers"]["gen_rate"] == 1.0
    assert bench("--peer", "magic").code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--methods", "magic"], "no method 'magic'"),
        (["--max-budget", "0"], "--max-budget"),
        (["--dataset", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--plot", "picture.bmp"], "picture.bmp"),
        (["--n-tests", "0"], "--n-tests"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(bench: Program, arguments: list[str], problem: str) -> None:
    outcome = bench(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_a_picture_is_drawn(bench: Program, tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    picture = tmp_path / f"bench.{ending}"
    assert bench("--plot", str(picture)).code == 0
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG") if ending == "png" else b"<svg" in content


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be loaded."""
    from specdec_cli.runtime.session import Session

    monkeypatch.setattr(Session, "load", lambda *_: pytest.fail("a model was loaded"))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("columns.csv", "name,size\na,1\n", "columns.csv, line 2: none of its fields is a prompt"),
        ("empty.jsonl", "", "empty.jsonl is empty"),
        ("middle.jsonl", '{"prompt": "a"}\n{oops\n{"prompt": "c"}\n', "middle.jsonl, line 2: not valid JSON"),
        ("twins.jsonl", 2 * '{"id": 1, "prompt": "a"}\n', "twins.jsonl, line 2: the id"),
        ("nowhere.jsonl", None, "nowhere.jsonl cannot be read"),
        ("mtbench", None, "no data set 'mtbench'"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_named_before_anything_loads(
    specdec: Program, tmp_path: Path, unloaded: None, name: str, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    outcome = specdec("bench", "--dataset", name, "--n-tests", "3", "--exp-name", "bad")
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err
    assert not (tmp_path / "logs").exists()


def test_the_first_prompt_is_shown_unless_quiet(bench: Program) -> None:
    assert "First prompt of 2" in bench("--zero").err
    assert "First prompt" not in bench("--zero", "--quiet").err


def logged(bench: Program, tmp_path: Path, name: str, *more: str) -> dict[str, list[dict[str, Any]]]:
    """The runs of a log that is made with these flags, by configuration."""
    outcome = bench("--exp-name", name, *more)
    assert outcome.code == 0, outcome.err
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (tmp_path / "logs" / f"{name}.jsonl").read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["configuration"], []).append(record)
    return found


def texts(runs: list[dict[str, Any]]) -> list[str]:
    return [run["text_hash"] for run in runs]


@pytest.mark.parametrize("flags", [("--top-k", "1"), ("--min-p", "1")])
def test_a_filter_that_keeps_one_token_makes_samples_greedy(
    bench: Program, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    asked = ("--method", "sps", "--ignore-eos")
    greedy = logged(bench, tmp_path, "greedy", *asked)
    warm = logged(bench, tmp_path, "warm", *asked, "-t", "1")
    kept = logged(bench, tmp_path, "kept", *asked, "-t", "1", *flags)
    for name in ("autoregressive", "sps"):
        assert texts(kept[name]) == texts(greedy[name])
        assert texts(warm[name]) != texts(greedy[name])


def test_texts_end_where_stop_says(bench: Program, tmp_path: Path, specdec: Program, target: str) -> None:
    prompt = ("-p", "the cat and dog 0", "-n", "8", "--ignore-eos")
    text = specdec("generate", "-m", target, "-d", "ngram", *prompt).out
    asked = ("--method", "sps", "--ignore-eos", "--stop", text[3])
    for runs in logged(bench, tmp_path, "stopped", *asked).values():
        assert (runs[0]["finish_reason"], runs[0]["tokens"]) == ("stop", text.index(text[3]) + 1)


def test_a_system_message_is_read_before_the_prompt(specdec: Program, tmp_path: Path) -> None:
    model = str(tiny.folder(tmp_path / "chat", words=tiny.ASCII, max_position_embeddings=512))

    def bench(*more: str) -> Outcome:
        data = ("--dataset", "prompts.jsonl", "--n-tests", "1", "-n", "2")
        return specdec("bench", "-m", model, "-d", "layers:1", "--zero", *data, *more)

    [plain] = logged(bench, tmp_path, "plain")["autoregressive"]
    [said] = logged(bench, tmp_path, "said", "--system", "Be brief.")["autoregressive"]
    assert said["prompt_tokens"] >= plain["prompt_tokens"] + len("Be brief.")


@pytest.mark.parametrize(
    "sweep",
    [
        ("--methods", "sps", "--draft", "layers:1,layers:99"),
        ("--methods", "rrsw", "--draft", "layers:1", "--tree", "2^2,4xx2"),
    ],
)
def test_what_the_last_of_a_sweep_cannot_have_is_said_before_anything_is_loaded(
    bench: Program, monkeypatch: pytest.MonkeyPatch, sweep: tuple[str, ...]
) -> None:
    monkeypatch.setattr("specdec_cli.runtime.session.load_checked", lambda *_, **__: pytest.fail("loaded"))
    refused = bench(*sweep)
    assert (refused.code, refused.out, "Error: " in refused.err) == (2, "", True), refused.err
