"""`specdec bench` and `specdec compare` on tiny models."""

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

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP))


@pytest.fixture(autouse=True)
def surroundings(in_folder_with_prompts: Callable[[int], None]) -> None:
    in_folder_with_prompts(4)


@pytest.fixture
def bench(specdec: Program, target: str) -> Program:
    def run(*arguments: str) -> Outcome:
        shared = ["-m", target, "--dataset", "prompts.jsonl", "--n-tests", "2", "-n", "8"]
        draft = [] if "-d" in arguments else ["-d", "layers:1"]
        return specdec("bench", *shared, *draft, *arguments)

    return run


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
    assert record["machine"]["torch"]


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


def test_a_log_is_written_as_it_runs_and_gone_on_from(bench: Program, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "exp.jsonl"
    assert bench("--exp-name", "exp").code == 0
    whole = log.read_text().splitlines()
    assert len(whole) == 4
    log.write_text("\n".join(whole[:3]) + "\n")
    assert bench("--exp-name", "exp").code == 0
    again = log.read_text().splitlines()
    assert again[:3] == whole[:3]
    assert len(again) == 4
    refused = bench("--exp-name", "exp", "--seed", "9")
    assert refused.code == 2
    assert "other settings: seed" in refused.err


def test_a_log_of_another_number_format_is_not_gone_on_with(bench: Program, tmp_path: Path) -> None:
    """Where "auto" is another format than on the machine that began it, nothing else tells them apart."""
    log = tmp_path / "logs" / "exp.jsonl"
    assert bench("--exp-name", "exp").code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["machine"]["dtype"] for line in lines} == {"float32"}
    other = [line | {"machine": line["machine"] | {"dtype": "bfloat16"}} for line in lines]
    log.write_text("\n".join(map(json.dumps, other[:3])) + "\n")
    refused = bench("--exp-name", "exp")
    assert (refused.code, refused.out) == (2, "")
    assert "another number format than float32" in refused.err
    assert len(log.read_text().splitlines()) == 3


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


def test_two_logs_are_compared_and_a_slower_one_fails(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    bench("--exp-name", "before")
    before, after = tmp_path / "logs" / "before.jsonl", tmp_path / "logs" / "after.jsonl"
    records = [json.loads(line) for line in before.read_text().splitlines()]
    after.write_text(
        "\n".join(json.dumps(each | {"seconds": 2 * each["seconds"]}) for each in records) + "\n"
    )
    same = specdec("compare", str(before), str(before), "--fail-below", "0.95")
    assert same.code == 0
    assert "1.00x" in same.out
    slower = specdec("compare", str(before), str(after), "--fail-below", "0.95")
    assert slower.code == CHECK_FAILED
    assert "below 0.95" in slower.out
    assert "Surely below 0.95: " in slower.err
    assert "In one log alone" not in slower.err
    after.write_text("\n".join(map(json.dumps, records[1:])) + "\n")
    rest = specdec("compare", str(before), str(after))
    assert f"compared on the rest: {records[0]['configuration']}." in rest.err
    assert json.loads(specdec("compare", str(before), str(after), "--json").out)["failed"] is False
    assert specdec("compare", str(before), "nowhere.jsonl").code == 2
    changed = [each | {"settings": each["settings"] | {"max_tokens": 9}} for each in records]
    after.write_text("\n".join(map(json.dumps, changed)) + "\n")
    assert "other settings: max_tokens" in specdec("compare", str(before), str(after)).err
    changed = [each | {"machine": each["machine"] | {"dtype": "bfloat16"}} for each in records]
    after.write_text("\n".join(map(json.dumps, changed)) + "\n")
    told = " ".join(specdec("compare", str(before), str(after)).err.split())
    assert "were measured in float32 and bfloat16: greedy texts may part at ties." in told


def test_no_figure_of_a_comparison_is_cut_off_on_a_narrow_screen(
    bench: Program, specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench("--method", "specexec", "--max-budget", "4, 8", "--exp-name", "log")
    monkeypatch.setenv("COLUMNS", "80")
    log = "logs/log.jsonl"
    assert specdec("compare", log, log, "--fail-below", "0.95").out.count(" ok") == 3
    detail = specdec("report", log, "--detail").out
    assert "speed-up (95%)" in detail
    assert "…" not in detail


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


def test_detail_comes_from_the_run_and_again_from_its_log(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    shared = ("--methods", "sps,rrsw", "--tree", "2x2", "--gamma", "3", "--ignore-eos", "--detail")
    fresh = json.loads(bench(*shared, "--exp-name", "why", "--format", "json").out)
    log = str(tmp_path / "logs" / "why.jsonl")
    again = json.loads(specdec("report", log, "--detail", "--format", "json").out)
    assert fresh["detail"] == again["detail"]
    assert fresh["rows"] == again["rows"]
    groups = [group for group in fresh["detail"] if group["configuration"] == "sps"]
    assert {group["kind"] for group in groups} == {"position", "category", "entropy", "depth"}
    accepted = {row["configuration"]: row["acceptance_rate"] for row in fresh["rows"]}
    for kind in ("position", "category", "entropy", "depth"):
        some = [group for group in groups if group["kind"] == kind]
        assert len({sum(group["levels"] for group in some)}) == 1
        drafted = sum(json.loads(line)["drafted"] for line in _lines(log) if '"sps"' in line)
        assert sum(group["accepted"] for group in some) == round((accepted["sps"] or 0) * drafted)
    table = specdec("report", log, "--detail").out
    for word in ("position in the draft", "category", "entropy", "place in the output", "of drafts"):
        assert word in table
    rows = list(csv.DictReader(io.StringIO(specdec("report", log, "--detail", "--format", "csv").out)))
    assert len(rows) == len(fresh["detail"])
    assert "by entropy" in specdec("report", log, "--detail", "--format", "markdown").out


def test_a_log_without_levels_is_still_read_and_says_what_it_lacks(
    bench: Program, specdec: Program, tmp_path: Path
) -> None:
    bench("--exp-name", "old")
    log = tmp_path / "logs" / "old.jsonl"
    lines = [json.loads(line) for line in _lines(str(log))]
    old = [{name: each[name] for name in each if name not in ("levels", "baseline")} for each in lines]
    log.write_text("\n".join(map(json.dumps, old)) + "\n")
    outcome = specdec("report", str(log), "--detail")
    assert outcome.code == 0
    assert "2 runs of the log have no detail" in outcome.err
    assert "1.00x" in outcome.out


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ('{"schema_version": 1}\n{"schema_version": 1}\n', "line 1: settings is missing"),
        ('{"schema_version": 99}\n{}\n', "line 1: not a record of version 1"),
        ('{"prompt": "why?"}\n{}\n', "line 1: not a run of a benchmark"),
        ("what?\n{}\n", "line 1: not valid JSON"),
    ],
)
def test_a_log_that_cannot_be_read_is_named_and_left_as_it_was(
    specdec: Program, tmp_path: Path, content: str, problem: str
) -> None:
    log = tmp_path / "bad.jsonl"
    log.write_text(content)
    for command in (("report", str(log)), ("compare", str(log), str(log))):
        outcome = specdec(*command)
        assert (outcome.code, outcome.out) == (2, "")
        assert problem in outcome.err
    assert log.read_text() == content


def _lines(log: str) -> list[str]:
    return Path(log).read_text().splitlines()


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


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda line: "{oops", "line 2: not valid JSON"),
        (lambda line: line.replace('version": 1', 'version": 2'), "line 2: not a record of version"),
        (lambda line: line.replace('"passes"', '"steps"'), "line 2: passes is missing"),
    ],
)
def test_a_log_with_a_bad_line_in_the_middle_is_not_gone_on_from_and_not_lost(
    bench: Program, tmp_path: Path, spoil: Callable[[str], str], problem: str
) -> None:
    bench("--exp-name", "mine")
    log = tmp_path / "logs" / "mine.jsonl"
    lines = _lines(str(log))
    lines[1] = spoil(lines[1])
    log.write_text("\n".join(lines) + "\n")
    before = log.read_bytes()
    outcome = bench("--exp-name", "mine")
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err
    assert log.read_bytes() == before


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
