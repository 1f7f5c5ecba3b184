"""Files of answers: read with lines, scored with intervals, paired."""

import json
import os
import time

import numpy as np
import pytest
from scipy import stats

from specdec_cli.errors import InputError
from specdec_cli.evaluation import results
from specdec_cli.evaluation.data_checks import remarks
from specdec_cli.evaluation.results import read_answers, results_files
from specdec_cli.evaluation.scoring import RESAMPLES, ScoringPlan, compare, score

PLAIN = [
    {"id": "a", "dataset": "one", "prompt": "p", "reference": "yes", "prediction": "yes"},
    {"id": "b", "dataset": "one", "prompt": "q", "reference": "no", "prediction": "yes"},
    {"id": "c", "dataset": "two", "prompt": "r", "reference": "maybe", "prediction": ""},
]


def write(path, records, *, lines=False, indent=None):
    if lines:
        path.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in records), encoding="utf-8")
    else:
        path.write_text(json.dumps(records, ensure_ascii=False, indent=indent), encoding="utf-8")
    return path


def metrics(*names, language="auto"):
    return ScoringPlan(names, language=language)


@pytest.mark.parametrize("field", ["prediction", "spec_pred", "gf_pred", "unite_pred"])
@pytest.mark.parametrize("lines", [False, True])
def test_arrays_and_lines_are_read_under_any_ending_with_the_papers_field_names(tmp_path, field, lines):
    records = [{"dataset": "d", "instruction": "i", "output": "o", field: "x"}, {"input": "j", field: ""}]
    found = read_answers(write(tmp_path / "results.json", records, lines=lines))
    assert [(each.prompt, each.prediction, each.reference, each.dataset) for each in found] == [
        ("i", "x", "o", "d"),
        ("j", "", None, ""),
    ]


def test_every_answer_knows_its_line_also_in_an_array(tmp_path):
    path = write(tmp_path / "a.json", PLAIN, indent=1)
    lines = path.read_text().split("\n")
    assert all(lines[each.line - 1].strip() == "{" for each in read_answers(path))
    assert [each.line for each in read_answers(write(tmp_path / "b.jsonl", PLAIN, lines=True))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n{"prediction": "x"},\n{"prompt": "y"}\n]', "line 3: none of its fields is an answer (prompt)"),
        ('{"prediction": "x"}\n5', "line 2: not an object"),
        ('[\n{"prediction": {"a": 1}}]', "line 2: prediction is an object"),
        ('[\n{"prediction": "x"},\n{"predi', "line 3: not valid JSON"),
        ('[\n{"prediction": "x"}', "line 2: not valid JSON"),
        ('[{"prediction": "x"}] {}', "something follows"),
        ("[]", "holds no answers"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(tmp_path, text, said):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_answers(path)
    assert said in refused.value.problem


def test_another_field_can_hold_the_answer(tmp_path):
    path = write(tmp_path / "r.json", [{"prediction": "x", "mine": "y"}])
    assert read_answers(path, "mine")[0].prediction == "y"


def test_a_folder_gives_its_files_in_order(tmp_path):
    write(tmp_path / "b.json", PLAIN)
    write(tmp_path / "a.jsonl", PLAIN, lines=True)
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in results_files([tmp_path])] == ["a.jsonl", "b.json"]
    with pytest.raises(InputError, match="There is no file"):
        results_files([tmp_path / "nowhere.json"])


def test_rows_are_of_all_answers_and_of_each_data_set_and_empty_ones_count(tmp_path):
    rows = score(read_answers(write(tmp_path / "r.json", PLAIN)), metrics("exact"))
    found = [(row.dataset, row.answers, row.empty, row.scores["exact"].value) for row in rows]
    assert found == [("all", 3, 1, pytest.approx(100 / 3)), ("one", 2, 0, 50), ("two", 1, 1, 0)]


def test_the_interval_is_scipys(tmp_path):
    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    records = [{"reference": "yes", "prediction": "yes" if each else "no"} for each in values]
    found = score(read_answers(write(tmp_path / "r.json", records)), metrics("exact"))[0].scores["exact"]
    expected = stats.bootstrap(
        (np.array(values),), np.mean, n_resamples=RESAMPLES, method="percentile", vectorized=False, rng=0
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_languages_are_scored_apart_unless_one_is_asked_for(tmp_path):
    records = [*PLAIN, {"reference": "今天天气很好。", "prediction": "今天天气不好。"}]
    answers = read_answers(write(tmp_path / "r.json", records))
    rows = score(answers, metrics("bleu"))
    assert [(row.language, row.answers) for row in rows if row.dataset == "all"] == [("en", 3), ("zh", 1)]
    assert "tok:zh" in rows[-1].scores["bleu"].note
    assert next(iter(score(answers, metrics("bleu", language="zh")))).language == "zh"


def test_what_is_odd_is_said_with_its_lines(tmp_path):
    records = [
        *PLAIN,
        {"id": "a", "reference": "今天天气很好。", "prediction": "fine"},
        {"id": "d", "prediction": "x"},
    ]
    answers = read_answers(write(tmp_path / "r.jsonl", records, lines=True))
    assert remarks(answers, "auto") == [
        "1 answer is empty: counted, and scored as such (line 3).",
        "1 answer is without a reference: not compared (line 5).",
        "1 answer is with an id that stands above already: counted each time (line 4).",
        "1 answer is Chinese, the others English: scored apart (line 4).",
        "1 answer is in another language than its reference (line 4).",
    ]
    assert remarks(read_answers(write(tmp_path / "p.json", PLAIN[:2])), "auto") == []


def test_nothing_to_score_is_refused(tmp_path):
    answers = read_answers(write(tmp_path / "r.json", [{"prediction": "x"}]))
    with pytest.raises(InputError, match="None of the answers can be scored by bleu, gsm8k"):
        score(answers, metrics("bleu", "gsm8k"))


def test_a_file_compared_with_itself_differs_by_nothing_and_with_a_better_one_by_the_difference(tmp_path):
    one = read_answers(write(tmp_path / "one.json", PLAIN))
    better = [each | {"prediction": each["reference"]} for each in reversed(PLAIN)]
    other = read_answers(write(tmp_path / "other.json", [*better, PLAIN[0] | {"id": "new"}]))
    same, found = compare(one, one, metrics("exact"))[0], compare(one, other, metrics("exact"))[0]
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert (found.first, found.second, found.difference) == pytest.approx((100 / 3, 100, 200 / 3))
    assert found.answers == 3
    assert found.low is not None
    assert found.low >= 0


def test_pairs_must_be_pairs(tmp_path):
    one = read_answers(write(tmp_path / "one.json", PLAIN))
    twice = read_answers(write(tmp_path / "two.json", [PLAIN[0], PLAIN[0]]))
    others = read_answers(write(tmp_path / "three.json", [PLAIN[0] | {"prompt": "else"}]))
    strangers = read_answers(write(tmp_path / "four.json", [PLAIN[0] | {"id": "z"}]))
    for second, said in ((twice, "lines 1 and 1"), (others, "other prompts"), (strangers, "in common")):
        with pytest.raises(InputError, match=said):
            compare(one, second, metrics("exact"))


def test_an_answer_of_null_is_an_empty_one_and_no_other_field_takes_its_place(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"prompt": "?", "prediction": null, "text": "the question"}\n{"prediction": "4"}\n')
    found = read_answers(path)
    assert [each.prediction for each in found] == ["", "4"]
    assert found[0].is_empty


@pytest.mark.parametrize(
    ("record", "reference", "references"),
    [
        ({"reference": "a", "references": ["a", "b"]}, "a", ("a", "b")),
        ({"reference": "a", "references": ["a", "b"], "turns": ["x", "y"]}, "a", ("a", "b")),
        ({"reference": ["a", "b"], "turns": ["x"]}, "a", ("a", "b")),
        ({"reference": ["a", "b"], "turns": ["x", "y"]}, "a", ()),
        ({"reference": [["a", "b"]], "turns": ["x"]}, "a", ("a", "b")),
        ({"reference": []}, None, ()),
        ({"reference": 7}, "7", ()),
    ],
)
def test_several_references_are_read(tmp_path, record, reference, references):
    found = read_answers(write(tmp_path / "a.json", [{"prediction": "b", **record}]))[0]
    assert (found.reference, found.references) == (reference, references)
    assert found.good == (references or (() if reference is None else (reference,)))


def test_a_hundred_thousand_answers_are_read_in_one_go(tmp_path):
    records = [{"id": f"{at}", "prediction": "a b c d e", "reference": "a b"} for at in range(100_000)]
    path = write(tmp_path / "a.json", records, indent=0)
    begun = time.process_time()
    found = read_answers(path)
    assert time.process_time() - begun < 20  # counting lines from the start for each took minutes
    lines = path.read_text().split("\n")
    assert all(lines[each.line - 1] == "{" for each in found[::9999])


def test_twenty_thousand_answers_are_paired_in_one_go(tmp_path):
    records = [{"prediction": "a", "reference": "a"} for _ in range(20_000)]
    found = read_answers(write(tmp_path / "a.json", records))
    begun = time.process_time()
    compared = compare(found, found, metrics("exact"))[0]
    assert (compared.answers, compared.difference) == (20_000, 0)
    assert time.process_time() - begun < 20  # a set made again for each took minutes


def test_twenty_thousand_data_sets_are_scored_together_and_that_is_said(tmp_path):
    records = [{"dataset": f"{at}", "prediction": "a", "reference": "a"} for at in range(20_000)]
    answers = read_answers(write(tmp_path / "a.json", records))
    assert [row.dataset for row in score(answers, metrics("exact"))] == ["all"]
    assert "20000 data sets are named: scored together, not each (200 at most)." in remarks(answers, "auto")
    few = read_answers(write(tmp_path / "b.json", records[:200]))
    assert len(score(few, metrics("exact"))) == 201
    assert remarks(few, "auto") == []


def test_what_is_too_long_or_no_file_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", PLAIN)
    monkeypatch.setattr(results, "MOST_BYTES", 10)
    with pytest.raises(InputError, match=r"a\.json has more than 10 bytes"):
        read_answers(path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match=r"pipe\.json is a pipe, not a file"):
        read_answers(tmp_path / "pipe.json")
