"""The log: written as it comes, read to go on, and never misread."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from one_record import RECORD as PLAIN

from specdec_cli.benchmarking.log_comparison import compare_logs
from specdec_cli.benchmarking.records import Log, read_log
from specdec_cli.benchmarking.summary import broken_promises, drift, paired_ratio, summarise
from specdec_cli.errors import InputError

FAST = replace(
    PLAIN, configuration="sps", passes=4, drafted=16, accepted=6, tree_depth=4.0, tree_size=4.0,
    draft_seconds=0.1, verify_seconds=0.3, overhead_seconds=0.1, seconds=0.5, accepted_lengths=(2, 2, 1, 1),
)  # fmt: skip
BASELINES = {"autoregressive": "autoregressive", "sps": "autoregressive"}


def test_a_log_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "one.jsonl"
    log = Log(path)
    for record in (PLAIN, FAST):
        log.add(record, {"gamma": 4}, {"cores": 2})
    assert read_log(path) == Log(path).records == [PLAIN, FAST]
    assert Log(path).has("sps", "a")
    assert not Log(path).has("sps", "b")
    line = json.loads(path.read_text().splitlines()[1])
    assert (line["settings"], line["machine"]) == ({"gamma": 4}, {"cores": 2})


@pytest.mark.parametrize("promise", ["bitwise", "up to ties", None])
def test_a_record_says_what_its_text_has_to_be_and_an_old_one_nothing(tmp_path: Path, promise: Any) -> None:
    path = tmp_path / "one.jsonl"
    Log(path).add(replace(PLAIN, identical=promise), {}, {})
    assert [record.identical for record in read_log(path)] == [promise]
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"identical": "perhaps"}))
    with pytest.raises(InputError, match="identical"):
        read_log(path)
    del line["identical"]
    path.write_text(json.dumps(line))
    assert [record.identical for record in read_log(path)] == [None]


def test_without_a_file_records_are_kept_in_memory(tmp_path: Path) -> None:
    log = Log(None)
    log.add(PLAIN, {}, {})
    assert log.has("autoregressive", "a")
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_by_a_kill_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    log = Log(path)
    log.add(PLAIN, {}, {})
    log.add(FAST, {}, {})
    path.write_text(path.read_text()[:-30])
    log = Log(path)
    assert log.records == [PLAIN]
    log.add(FAST, {}, {})
    assert read_log(path) == [PLAIN, FAST]


def test_a_log_without_its_last_line_end_goes_on_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).add(PLAIN, {}, {})
    path.write_text(path.read_text().removesuffix("\n"))
    Log(path).add(FAST, {}, {})
    assert read_log(path) == Log(path).records == [PLAIN, FAST]
    assert len(path.read_text().splitlines()) == 2


def test_blank_lines_are_no_records_and_cost_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).add(PLAIN, {}, {})
    path.write_text(f"\n{path.read_text()}\n\n")
    with Log(path) as log:
        log.add(FAST, {}, {})
    assert read_log(path) == [PLAIN, FAST]


def test_a_line_that_stands_there_twice_counts_once_and_two_of_one_run_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).add(PLAIN, {}, {})
    line = path.read_text()
    path.write_text(line * 3)
    assert read_log(path) == Log(path).records == [PLAIN]
    path.write_text(line + "\n" + line.replace('"tokens": 10', '"tokens": 11'))
    with pytest.raises(InputError, match="line 3: another run of 'autoregressive' on 'a' than on line 1"):
        Log(path)


def test_reading_a_log_that_is_being_written_does_not_cut_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).add(PLAIN, {}, {})
    torn = path.read_text() + '{"schema_version": 1, "confi'
    path.write_text(torn)
    assert read_log(path) == Log(path).records == [PLAIN]
    assert path.read_text() == torn


def test_a_broken_line_in_the_middle_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    log = Log(path)
    log.add(PLAIN, {}, {})
    whole = path.read_text()
    for middle in (
        "{nonsense",
        '{"schema_version": 99}',
        "[]",
        json.dumps({**json.loads(whole), "tokens": 1})[:0] + "{}",
    ):
        path.write_text(f"{whole}{middle}\n{whole}")
        with pytest.raises(InputError, match=r"broken\.jsonl, line 2"):
            Log(path)
        assert path.read_text() == f"{whole}{middle}\n{whole}"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.jsonl"
    Log(path).add(PLAIN, {}, {})
    line = json.loads(path.read_text())
    del line["passes"]
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="line 1: passes is missing"):
        read_log(path)


def test_other_settings_under_one_name_are_refused(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add(FAST, {"gamma": 4, "stop": ()}, {})
    log = Log(tmp_path / "log.jsonl")
    log.require_same("sps", {"gamma": 4, "stop": ()})
    log.require_same("other", {"gamma": 9})
    with pytest.raises(InputError, match="other settings: gamma"):
        log.require_same("sps", {"gamma": 5, "stop": ()})


def test_another_prompt_under_a_known_id_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add(replace(PLAIN, prompt_hash="one"), {}, {})
    log.add(replace(PLAIN, item="old"), {}, {})
    log = Log(tmp_path / "log.jsonl")
    log.require_same_prompt("a", "one")
    log.require_same_prompt("old", "whatever")
    log.require_same_prompt("new", "two")
    with pytest.raises(InputError, match="another prompt under the id 'a'"):
        log.require_same_prompt("a", "two")


def test_what_differs_of_the_machine_is_named(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add(PLAIN, {}, {"cores": 2, "torch": "2"})
    log = Log(tmp_path / "log.jsonl")
    assert log.other_machine({"cores": 2, "torch": "2", "fresh": 1}) == []
    assert log.other_machine({"cores": 4, "torch": "3"}) == ["cores", "torch"]


def test_line_ends_of_other_scripts_end_no_line(tmp_path: Path) -> None:
    record = replace(PLAIN, item="a\u2028b\x85c")
    Log(tmp_path / "log.jsonl").add(record, {}, {})
    assert read_log(tmp_path / "log.jsonl") == [record]


@pytest.mark.parametrize("content", [None, ""])
def test_a_log_that_is_missing_or_empty_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError):
        read_log(path)


def test_a_row_has_the_totals_and_the_paired_speedup() -> None:
    records = [
        PLAIN,
        FAST,
        replace(PLAIN, item="b", seconds=2.0),
        replace(FAST, item="b", seconds=0.5, text_hash="y"),
    ]
    plain, fast = summarise(records, BASELINES)
    assert (plain.gen_rate, plain.gen_speed, plain.speedup) == (1.0, 20 / 3, None)
    assert fast.gen_rate == 20 / 8
    assert fast.gen_speed == 20.0
    assert fast.acceptance_rate == 12 / 32
    assert fast.speedup is not None
    assert fast.speedup.value == pytest.approx((2 * 4) ** 0.5)  # geometric mean of 2 and 4
    assert fast.same_text == 1
    assert fast.draft_seconds == pytest.approx(0.2 / 8)
    assert plain.draft_share + plain.verify_share + plain.overhead_share == pytest.approx(1.0, rel=0.4)


@pytest.mark.parametrize(
    ("promises", "row", "broken"),
    [
        (["bitwise"] * 4, "bitwise", ["sps"]),
        (["bitwise", "bitwise", "bitwise", "up to ties"], "up to ties", []),
        (["bitwise", None, "bitwise", "bitwise"], None, []),  # plain decoding by an older version
        ([None, "up to ties", None, None], None, []),
    ],
)
def test_a_row_promises_what_all_its_runs_and_the_baselines_do(
    promises: list[Any], row: str | None, broken: list[str]
) -> None:
    texts = [PLAIN, replace(PLAIN, item="b"), FAST, replace(FAST, item="b", text_hash="y")]
    records = [replace(text, identical=each) for text, each in zip(texts, promises, strict=True)]
    rows = summarise(records, BASELINES)
    assert (rows[1].identical, broken_promises(rows)) == (row, broken)
    same = [replace(record, text_hash="x") for record in records]
    assert broken_promises(summarise(same, BASELINES)) == []


def test_only_prompts_that_both_decoded_are_compared() -> None:
    _, fast = summarise([PLAIN, FAST, replace(FAST, item="only here", tokens=1000)], BASELINES)
    assert fast.prompts == 1
    assert fast.speedup is not None
    assert fast.speedup.value == pytest.approx(2.0)
    assert fast.speedup.low is None


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    import numpy as np

    chance = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        own = np.exp(chance.normal(np.log(1.5), 0.2, 20))
        found = paired_ratio(list(own), [1.0] * 20)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1.5 <= found.high
    assert held >= 86


def test_drift_is_the_change_between_the_halves() -> None:
    records = [
        replace(PLAIN, item=str(order), order=order, seconds=1.0 if order < 2 else 2.0) for order in range(4)
    ]
    assert drift(records, "autoregressive") == -0.5
    assert drift(records[:3], "autoregressive") is None


def test_two_logs_are_paired_by_configuration_and_prompt() -> None:
    later = [replace(FAST, seconds=1.0), replace(FAST, item="z"), replace(PLAIN, configuration="new")]
    (found,) = compare_logs([PLAIN, FAST], later)
    assert (found.configuration, found.prompts) == ("sps", 1)
    assert found.ratio.value == pytest.approx(0.5)
    assert found.surely_below(0.95)
    assert not found.surely_below(0.49)
    assert asdict(found)["same_text"] == 1
