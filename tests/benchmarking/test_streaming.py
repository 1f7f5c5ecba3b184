"""Streaming figures follow from the records by their definitions."""

from dataclasses import replace

import pytest

from specdec_cli.benchmarking.records import Record
from specdec_cli.benchmarking.streaming import Bandwidth, stream_rows

RUN = Record(
    configuration="plain", item="a", category="", order=0, prompt_tokens=3, tokens=5, passes=5, drafted=0,
    accepted=0, tree_depth=0.0, tree_size=0.0, least_score=None, draft_seconds=0.0, verify_seconds=5.0,
    overhead_seconds=0.0, seconds=5.0, prefill_seconds=1.0, first_token_seconds=2.0, memory_bytes=1,
    accepted_lengths=(0,) * 5, text_hash="x", finish_reason="length", streamed_bytes=400, streamed_tokens=4,
    streamed_seconds=4.0, transfer_seconds=2.0, wait_seconds=0.5,
)  # fmt: skip


def test_each_figure_is_what_its_definition_says():
    fast = replace(RUN, configuration="tree", tokens=20, streamed_tokens=16, wait_seconds=0.0)
    rows = stream_rows([RUN, fast], ["plain", "tree"], pass_bytes=100, bandwidth=125.0)
    plain, tree = rows
    assert plain.bytes_per_token == 100
    assert plain.bandwidth == 100
    assert plain.bandwidth_share == pytest.approx(0.8)
    assert plain.hidden == pytest.approx(0.75)  # half a second of two was waited for
    assert plain.limit == pytest.approx(1.25)  # a token a pass, 0.8 seconds a pass
    assert plain.limit_share == pytest.approx(0.8)
    assert tree.bytes_per_token == 25
    assert tree.limit == pytest.approx(5.0)  # four tokens a pass
    assert tree.speed == 4.0
    assert tree.hidden == 1.0


def test_what_streamed_nothing_has_no_row():
    assert stream_rows([replace(RUN, streamed_seconds=0.0)], ["plain"], 100, 1.0) == []


def test_shares_are_taken_of_the_better_measurement():
    assert Bandwidth(1.0, 2.0).best == Bandwidth(2.0, 1.0).best == 2.0
