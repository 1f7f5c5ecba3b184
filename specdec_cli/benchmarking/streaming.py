"""What streaming an offloaded target's weights came to: how fast, how much of it hidden, and the limit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from specdec_cli.benchmarking.machine import peak_memory
from specdec_cli.benchmarking.records import Record
from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.engine.roles import Step
from specdec_cli.models.offload.prefetch import Traffic
from specdec_cli.progress import Report
from specdec_cli.runtime.build import largest_tree
from specdec_cli.runtime.offload import with_quarter_resident
from specdec_cli.runtime.preflight import preflight_drafts
from specdec_cli.runtime.session import Session


class StreamWatch:
    """Looks at what an offloaded target streams while a text is decoded.

    The prompt and the first step are left out: a step is counted from the state that a step leaves behind.
    """

    def __init__(self, session: Session) -> None:
        self._stream = session.target.stream
        self._readings: list[tuple[float, Traffic]] = []  # and when: layers come between steps too
        self._steps: list[Step] = []

    def over(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same steps, with a reading after each."""
        for step in steps:
            if self._stream is not None:
                self._readings.append((time.perf_counter(), self._stream.traffic))
                self._steps.append(step)
            yield step

    @property
    def streamed(self) -> dict[str, Any]:
        """As fields of a record; empty where nothing is streamed."""
        if len(self._readings) < 2:
            return {}
        (begun, before), (ended, after) = self._readings[0], self._readings[-1]
        found = after.since(before)
        return {
            "streamed_bytes": found.bytes,
            "streamed_tokens": sum(len(step.tokens) for step in self._steps[1:]),
            "streamed_seconds": ended - begun,
            "transfer_seconds": found.busy_seconds,
            "wait_seconds": found.wait_seconds,
        }


def measure_link(session: Session) -> float:
    """Bytes per second that the target's layers come at when nothing is computed; 0 if none is streamed.

    Asked after each text and not once for all: disks are uneven, and faster after a rest.
    """
    stream = session.target.stream
    if stream is None or stream.pass_bytes == 0:
        return 0.0
    found = stream.read_through()
    return found.bytes / found.busy_seconds


def load_for(wanted: Sequence[Configuration], report: Report) -> tuple[list[Configuration], Session]:
    """A session planned for the largest of the configurations; these, with the layers that stay."""
    settled = [replace(each, settings=with_quarter_resident(each.settings, report)) for each in wanted]
    largest = max(settled, key=lambda each: largest_tree(each.settings))
    preflight_drafts((each.settings for each in settled), report)
    return settled, Session.load(largest.settings, report)


def most_memory(records: Sequence[Record], device: torch.device) -> int:
    """Greatest use in bytes over a benchmark; the peak of a GPU begins anew with every run."""
    now = peak_memory(device)
    return max([now, *(each.memory_bytes for each in records)]) if device.type == "cuda" else now


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One configuration's streaming over all its prompts.

    Attributes:
        configuration: its name.
        bytes_per_token: streamed for each emitted token.
        bandwidth: bytes per second that were reached.
        link: bytes per second of the link, measured after each text and weighed by what the text streamed.
        bandwidth_share: of the link that was reached.
        hidden: share of the transfer time during which the computation did not wait.
        speed: tokens per second.
        limit: tokens per second if a pass took no longer than its weights at the link's speed.
        limit_share: of the limit that was reached.
    """

    configuration: str
    bytes_per_token: float
    bandwidth: float
    link: float
    bandwidth_share: float
    hidden: float
    speed: float
    limit: float
    limit_share: float


def stream_rows(records: Sequence[Record], names: Sequence[str], pass_bytes: int) -> list[StreamRow]:
    """A row for each configuration that streamed.

    Args:
        records: of a benchmark.
        names: of the configurations, in order.
        pass_bytes: that a pass streams.
    """
    by_name: Mapping[str, list[Record]] = {
        name: [each for each in records if each.configuration == name and has_link(each)] for name in names
    }
    return [_row(name, runs, pass_bytes) for name, runs in by_name.items() if runs]


def _row(name: str, runs: Sequence[Record], pass_bytes: int) -> StreamRow:
    streamed, tokens, seconds, transfer, wait = (
        sum(getattr(run, field) for run in runs)
        for field in (
            "streamed_bytes",
            "streamed_tokens",
            "streamed_seconds",
            "transfer_seconds",
            "wait_seconds",
        )
    )
    per_pass = tokens / sum(run.passes - 1 for run in runs)  # the first step is in neither
    link = _link_speed(runs)
    limit = per_pass * link / pass_bytes
    return StreamRow(
        configuration=name,
        bytes_per_token=streamed / tokens,
        bandwidth=streamed / seconds,
        link=link,
        bandwidth_share=streamed / seconds / link,
        hidden=1 - min(1.0, wait / transfer) if transfer else 1.0,
        speed=tokens / seconds,
        limit=limit,
        limit_share=tokens / seconds / limit,
    )


def has_link(record: Record) -> bool:
    """Whether a run streamed, and the link was measured after it; older logs do not have it."""
    return record.streamed_bytes > 0 and record.link_bandwidth > 0


def _link_speed(runs: Sequence[Record]) -> float:
    """Bytes per second at which what these runs streamed would have come if nothing had been computed."""
    return sum(run.streamed_bytes for run in runs) / sum(
        run.streamed_bytes / run.link_bandwidth for run in runs
    )
