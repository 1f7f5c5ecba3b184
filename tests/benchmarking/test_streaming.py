"""Streaming figures follow from the records by their definitions."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from specdec_cli.benchmarking.records import Record
from specdec_cli.benchmarking.streaming import StreamWatch, measure_link, most_memory, stream_rows
from specdec_cli.models.offload.prefetch import Traffic

RUN = Record(
    configuration="plain", item="a", category="", order=0, prompt_tokens=3, tokens=5, passes=5, drafted=0,
    accepted=0, tree_depth=0.0, tree_size=0.0, least_score=None, draft_seconds=0.0, verify_seconds=5.0,
    overhead_seconds=0.0, seconds=5.0, prefill_seconds=1.0, first_token_seconds=2.0, memory_bytes=1,
    accepted_lengths=(0,) * 5, text_hash="x", finish_reason="length", streamed_bytes=400, streamed_tokens=4,
    streamed_seconds=4.0, transfer_seconds=2.0, wait_seconds=0.5, link_bandwidth=125.0,
)  # fmt: skip


def test_each_figure_is_what_its_definition_says():
    fast = replace(RUN, configuration="tree", tokens=25, streamed_tokens=16, wait_seconds=0.0)
    rows = stream_rows([RUN, fast], ["plain", "tree"], pass_bytes=100)
    plain, tree = rows
    assert plain.bytes_per_token == 100
    assert plain.bandwidth == 100
    assert plain.bandwidth_share == pytest.approx(0.8)
    assert plain.hidden == pytest.approx(0.75)  # half a second of two was waited for
    assert plain.limit == pytest.approx(1.25)  # a token a pass, 0.8 seconds a pass
    assert plain.limit_share == pytest.approx(0.8)
    assert tree.bytes_per_token == 25
    assert tree.limit == pytest.approx(5.0)  # four tokens a pass after the first
    assert tree.speed == 4.0
    assert tree.hidden == 1.0


def test_what_streamed_nothing_has_no_row():
    for nothing in ({"streamed_bytes": 0}, {"link_bandwidth": 0.0}):
        assert stream_rows([replace(RUN, **nothing)], ["plain"], 100) == []


def test_each_run_is_held_against_the_link_as_it_was_after_it():
    slower = replace(RUN, item="b", streamed_seconds=8.0, link_bandwidth=62.5)
    (row,) = stream_rows([RUN, slower], ["plain"], pass_bytes=100)
    assert row.bandwidth_share == pytest.approx(0.8)
    assert row.link == pytest.approx(800 / (3.2 + 6.4))


def test_a_gpus_peak_is_that_of_the_greediest_run(monkeypatch):
    """It is begun anew for each of them."""
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    runs = [replace(RUN, memory_bytes=memory) for memory in (5, 11, 6)]
    assert most_memory(runs, torch.device("cuda")) == 11
    assert most_memory([replace(RUN, memory_bytes=1 << 60)], torch.device("cpu")) < 1 << 60


class Stream:
    """Ten bytes a second, whatever is computed."""

    def __init__(self):
        self.now = 0.0

    @property
    def traffic(self):
        return Traffic(bytes=round(10 * self.now), busy_seconds=self.now)


def session_of(stream) -> Any:
    """As much of a session as looks at how its target comes."""
    return SimpleNamespace(target=SimpleNamespace(stream=stream))


def test_the_time_between_steps_counts_like_the_bytes_that_come_in_it(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(time, "perf_counter", lambda: stream.now)
    watch = StreamWatch(session_of(stream))

    def steps():
        for _ in range(4):
            stream.now += 1
            yield SimpleNamespace(tokens=(1, 2), seconds=1.0)

    for _ in watch.over(steps()):
        stream.now += 3  # what happens between the steps' clocks
    found = watch.streamed
    assert found["streamed_bytes"] == 10 * found["streamed_seconds"] == 120
    assert found["streamed_tokens"] == 6


@pytest.mark.parametrize(("size", "expected"), [(100, 20.0), (0, 0.0)])
def test_the_link_is_what_comes_without_computing_and_0_where_all_layers_stay(size, expected):
    stream = SimpleNamespace(
        pass_bytes=size, read_through=lambda: Traffic(bytes=2 * size, busy_seconds=size / 10)
    )
    assert measure_link(session_of(stream)) == expected
    assert measure_link(session_of(None)) == 0.0
