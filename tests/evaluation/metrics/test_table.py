"""The table of metrics: what the command line, the tables and the hints read of each row."""

from pathlib import Path

import pytest

from specdec_cli.errors import InputError
from specdec_cli.evaluation.metrics.base import MetricOptions
from specdec_cli.evaluation.metrics.bertscore import encoder_of
from specdec_cli.evaluation.metrics.table import METRICS, heading, needs_in_words
from specdec_cli.evaluation.results import Answer

DOCS = Path(__file__).parents[3] / "docs" / "evaluation.md"
BARE = [Answer(1, "1", False, "", "", "words", None, {})]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_gives_the_scores_that_it_has_headings_for_and_leaves_out_what_lacks_a_field(name):
    row = METRICS[name]
    measures = row.measure(BARE, MetricOptions(encoder=lambda _: encoder_of("none", None)))
    scores = {each.name for each in measures}
    assert row.headings.keys() <= scores
    assert all(score.startswith(name) for score in scores)
    assert [each.indexes for each in measures] == [()] * len(measures)


def test_a_score_without_a_heading_goes_by_its_name():
    assert [heading(score) for score in ("bleu", "rouge-l", "gsm8k")] == ["BLEU", "ROUGE-L", "gsm8k"]


def test_the_hint_names_what_each_metric_needs_beyond_a_reference(monkeypatch):
    said = "Most metrics need a `reference`; humaneval needs `test` and `entry_point`."
    assert needs_in_words() == said
    monkeypatch.delitem(METRICS, "humaneval")
    assert needs_in_words() == "Most metrics need a `reference`."


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_documented(name):
    assert f"| `{name}` |" in DOCS.read_text(encoding="utf-8")


def test_without_a_choice_there_is_no_encoder():
    with pytest.raises(InputError, match="No model was chosen for BERTScore of zh"):
        MetricOptions().encoder("zh")
