"""How a run is made: by this engine, traced or not, or by a peer; warmed up before, its memory read after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from specdec_cli.benchmarking.interleaving import warm_up
from specdec_cli.benchmarking.machine import peak_memory, reset_peak_memory
from specdec_cli.benchmarking.peers import Run as PeerRun
from specdec_cli.benchmarking.streaming import StreamWatch, measure_link
from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.engine.observation import Level, VerifierView, levels, observed
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.evaluation.datasets import Item
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.tracing.file import TracedRun, TraceFile
from specdec_cli.tracing.record import recorded


class Made(NamedTuple):
    """The steps of a run, its levels where this engine made it, and what an offloaded target streamed."""

    steps: list[Step]
    levels: list[Level] | None
    streamed: Mapping[str, Any] = MappingProxyType({})


Run = Callable[[Sequence[int], Settings], Made]


class Maker:
    """Makes runs of the configurations; before its first, each is run for a few tokens, uncounted.

    Args:
        session: what runs.
        runs: how each configuration decodes a prompt, by name.
        own: names of the configurations that this engine runs.
        trace: gets those of their runs that draft something; or None.
        measures_link: whether an offloaded target's link is measured after each run.
    """

    def __init__(
        self,
        session: Session,
        runs: Mapping[str, Run],
        own: Collection[str],
        trace: TraceFile | None,
        measures_link: bool,
    ) -> None:
        self._session, self._runs, self._own = session, runs, own
        self._trace, self._measures_link = trace, measures_link
        self._warmed_up: set[str] = set()

    def make(self, configuration: Configuration, item: Item, prompt: Sequence[int]) -> tuple[Made, int]:
        """A run, and the greatest memory that it used, in bytes."""
        run = self._runs[configuration.name]
        if configuration.name not in self._warmed_up:
            run(prompt, warm_up(configuration.settings))
            self._warmed_up.add(configuration.name)
        device = self._session.target.device
        reset_peak_memory(device)
        is_plain = configuration.name == configuration.baseline
        if self._trace is not None and configuration.name in self._own and not is_plain:
            made = _traced(self._session, configuration, item, prompt, self._trace)
        else:
            made = run(prompt, configuration.settings)
        memory = peak_memory(device)
        if self._measures_link and made.streamed:
            link = {"link_bandwidth": measure_link(self._session)}
            made = made._replace(streamed={**made.streamed, **link})
        return made, memory


def own_run(session: Session, prompt: Sequence[int], settings: Settings) -> Made:
    """Decode with this engine; what acceptance depended on is looked at between the steps' clocks."""
    if METHODS[settings.method].is_ensemble:
        return Made(list(session.steps(prompt, settings)), None)
    watch = StreamWatch(session)

    def decode(roles: Roles) -> Iterator[Step]:
        return watch.over(session.steps(prompt, settings, roles))

    return _gathered(observed(session.roles(settings), decode))._replace(streamed=watch.streamed)


def _traced(
    session: Session, configuration: Configuration, item: Item, prompt: Sequence[int], trace: TraceFile
) -> Made:
    """The same, each step written to a trace."""
    settings = replace(configuration.settings, dtype=session.number_format)
    run = TracedRun(configuration.name, item.id, item.category, settings, tuple(prompt))
    return _gathered((view.step, view.verifier) for view in recorded(session, run, trace))


def _gathered(steps: Iterable[tuple[Step, VerifierView]]) -> Made:
    made: list[Step] = []
    judged: list[Level] = []
    done = 0
    for step, view in steps:
        made.append(step)
        judged += levels(view, step, done)
        done += len(step.tokens)
    return Made(made, judged)


def peer_run(run: PeerRun, prompt: Sequence[int], settings: Settings) -> Made:
    """Decode with another engine."""
    return Made(run(prompt, settings), None)
