"""What acceptance depends on: counts against a recount by hand, and levels against the run that made them."""

from dataclasses import replace

import numpy as np
import pytest

from specdec_cli.benchmarking.detail import CATEGORY, DEPTH, ENTROPY, POSITION, explain, unexplained
from specdec_cli.benchmarking.levels import Levels
from specdec_cli.benchmarking.records import Record

PLAIN = Record(
    configuration="autoregressive", item="a", category="math", order=0, prompt_tokens=5, tokens=10, passes=10,
    drafted=0, accepted=0, tree_depth=0.0, tree_size=0.0, least_score=None, draft_seconds=0.0,
    verify_seconds=0.9, overhead_seconds=0.1, seconds=1.0, prefill_seconds=0.5, first_token_seconds=0.6,
    memory_bytes=9, accepted_lengths=(0,) * 10, text_hash="x", finish_reason="length",
    baseline="autoregressive", levels=Levels((), (), (), ()),
)  # fmt: skip
FAST = replace(
    PLAIN, configuration="sps", passes=4, drafted=8, accepted=3, seconds=0.5, accepted_lengths=(1, 0, 2, 0),
    # steps: accepts 1 of 2; rejects the first; accepts both of 2 (positions 3 and 4); drafts nothing
    levels=Levels((0, 1, 2, 3, 4), (1, 2, 1, 1, 2), (0.05, 1.5, 5.0, 0.0, 0.4), (1, 0, 0, 1, 1)),
)  # fmt: skip
LATER = replace(
    FAST, item="b", category="qa", seconds=0.25, levels=Levels((20, 40), (1, 1), (0.3, 0.3), (1, 0))
)
RECORDS = [PLAIN, FAST, replace(PLAIN, item="b", category="qa"), LATER]
BASELINES = {"autoregressive": "autoregressive", "sps": "autoregressive"}


def counts(kind):
    return {g.label: (g.levels, g.accepted) for g in explain(RECORDS, BASELINES) if g.kind == kind}


def test_levels_are_counted_by_each_of_the_four() -> None:
    assert counts(POSITION) == {"1": (5, 3), "2": (2, 1)}
    assert counts(CATEGORY) == {"math": (5, 3), "qa": (2, 1)}
    assert counts(ENTROPY) == {"0-0.1": (2, 2), "0.1-0.5": (3, 2), "1-2": (1, 0), "4+": (1, 0)}
    assert counts(DEPTH) == {"1-16": (5, 3), "17-32": (1, 1), "33-64": (1, 0)}


def test_positions_know_their_share_of_all_drafts_and_categories_their_speedup() -> None:
    groups = {(g.kind, g.label): g for g in explain(RECORDS, BASELINES)}
    assert groups[POSITION, "2"].of_drafts == pytest.approx(1 / 5)
    qa = groups[CATEGORY, "qa"]
    assert qa.tokens_per_pass == 10 / 4
    assert qa.speedup is not None
    assert qa.speedup.value == pytest.approx(4.0)
    rate = groups[POSITION, "1"].rate
    assert rate is not None
    assert rate.low is not None
    assert rate.value == pytest.approx(3 / 5)
    assert rate.low <= rate.value <= (rate.high or 0)


def test_what_drafted_nothing_has_no_groups_and_old_records_are_counted() -> None:
    assert {group.configuration for group in explain(RECORDS, BASELINES)} == {"sps"}
    old = [replace(FAST, levels=None), replace(PLAIN, levels=None)]
    assert explain(old, BASELINES) == []
    assert unexplained(old) == 1


def test_the_interval_holds_the_true_share_about_as_often_as_it_says() -> None:
    chance, held = np.random.default_rng(1), 0
    for _ in range(60):
        runs = []
        for item in range(24):
            hits = tuple((chance.random(20) < 0.3).astype(int).tolist())
            levels = Levels(tuple(range(20)), (1,) * 20, (0.0,) * 20, hits)
            runs.append(replace(FAST, item=str(item), levels=levels))
        group = next(g for g in explain(runs, {"sps": "sps"}) if g.kind == POSITION)
        assert group.rate is not None
        assert group.rate.low is not None
        assert group.rate.high is not None
        held += group.rate.low <= 0.3 <= group.rate.high
    assert held >= 50
