"""A benchmark: every configuration on every prompt, interleaved, each run written down at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from specdec_cli.benchmarking.levels import Levels
from specdec_cli.benchmarking.llama_peer import llama_cpp_peers
from specdec_cli.benchmarking.machine import fingerprint, peak_memory, reset_peak_memory
from specdec_cli.benchmarking.peers import Peer, assistant_of, transformers_peers
from specdec_cli.benchmarking.peers import Run as PeerRun
from specdec_cli.benchmarking.records import Log, Record, shape_of
from specdec_cli.benchmarking.streaming import StreamWatch, measure_link
from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.engine.observation import Level, VerifierView, levels, observed
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.errors import InputError
from specdec_cli.evaluation.datasets import Item
from specdec_cli.registry.methods import METHODS, PLAIN
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.tracing.file import TracedRun, TraceFile
from specdec_cli.tracing.record import recorded

WARM_UP_TOKENS = 8
PEERS: dict[str, Callable[[Session, Settings], dict[str, Peer]]] = {
    "transformers": transformers_peers,
    "llama-cpp": llama_cpp_peers,
}


class Made(NamedTuple):
    """The steps of a run, its levels where this engine made it, and what an offloaded target streamed."""

    steps: list[Step]
    levels: list[Level] | None
    streamed: Mapping[str, Any] = MappingProxyType({})


Run = Callable[[Sequence[int], Settings], Made]


class Progress:
    """What a benchmark tells while it runs; the methods may be overridden."""

    def begin(self, total: int) -> None:
        """So many runs are to be made."""

    def peer(self, name: str, settings: Mapping[str, object]) -> None:
        """Another engine takes part, set in this way."""

    def advance(self, what: str) -> None:
        """One more run was made, or was found in the log."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is to be measured.

    Attributes:
        configurations: of the sweep.
        items: prompts.
        peers: other engines, of `PEERS`.
        measures_link: measure an offloaded target's link after each run; it takes three passes.
    """

    configurations: Sequence[Configuration]
    items: Sequence[Item]
    peers: Sequence[str] = ()
    measures_link: bool = False


def measure(
    bench: Bench, session: Session, log: Log, progress: Progress, trace: TraceFile | None = None
) -> list[Configuration]:
    """Make every run that the log does not hold: all configurations of a prompt, then the next prompt.

    The order of the configurations turns by one from prompt to prompt, so that none is always first. Each is
    run once before for a few tokens, uncounted. A trace gets each run that is made here and drafts something.

    Returns:
        The configurations with those of the peers.

    Raises:
        InputError: the log holds a configuration with other settings, or a prompt is too long.
    """
    runs, configurations, peers = _runs(bench, session)
    for name, peer in peers.items():
        progress.peer(name, peer.settings)
    for each in configurations:
        log.require_same(each.name, _logged(each.settings))
    for item in bench.items:
        log.require_same_prompt(item.id, prompt_hash(item.prompt))
    prompts = {item.id: _encode(session, item) for item in bench.items}
    own = {each.name for each in bench.configurations}
    machine = fingerprint() | {"dtype": session.number_format}
    changed = log.other_machine(machine)
    if "dtype" in changed:
        problem = f"The log was measured in another number format than {machine['dtype']}."
        raise InputError(problem, "Give another --exp-name: texts and times of two formats do not compare.")
    if changed:
        session.warnings.append(
            f"The log was begun on another machine or set-up ({', '.join(changed)}): times do not compare."
        )
    progress.begin(len(configurations) * len(bench.items))
    warm: set[str] = set()
    for number, item in enumerate(bench.items):
        turn = number % len(configurations)
        for each in [*configurations[turn:], *configurations[:turn]]:
            if not log.has(each.name, item.id):
                if each.name not in warm:
                    short = min(WARM_UP_TOKENS, each.settings.max_tokens)
                    runs[each.name](prompts[item.id], replace(each.settings, max_tokens=short))
                    warm.add(each.name)
                reset_peak_memory(session.target.device)
                if trace is not None and each.name in own and each.name != each.baseline:
                    made = _traced(session, each, item, prompts[item.id], trace)
                else:
                    made = runs[each.name](prompts[item.id], each.settings)
                memory = peak_memory(session.target.device)
                if bench.measures_link and made.streamed:
                    link = {"link_bandwidth": measure_link(session)}
                    made = made._replace(streamed={**made.streamed, **link})
                record = _record(each, item, prompts[item.id], made, len(log.records), memory)
                log.add(record, _logged(each.settings), machine | _peer_settings(each.name, peers))
            progress.advance(f"{item.id}: {each.name}")
    return configurations


def _runs(bench: Bench, session: Session) -> tuple[Mapping[str, Run], list[Configuration], dict[str, Peer]]:
    own = partial(_own, session)
    runs: dict[str, Run] = {each.name: own for each in bench.configurations}
    configurations = list(bench.configurations)
    plain = [each for each in bench.configurations if each.name == each.baseline]
    drafting = _drafting(bench, session)
    peers: dict[str, Peer] = {}
    for engine in bench.peers:
        peers |= PEERS[engine](session, drafting.settings)
    for baseline in plain:
        settings = replace(baseline.settings, draft=drafting.settings.draft, gamma=drafting.settings.gamma)
        for name, peer in peers.items():
            named = baseline.name.replace(PLAIN, name, 1)
            runs[named] = partial(_others, peer.run)
            configurations.append(Configuration(named, settings, baseline.name))
    return runs, configurations, peers


def _logged(settings: Settings) -> dict[str, object]:
    """Settings as a log keeps them: with the draft by its name, since a target's default may change."""
    if METHODS[settings.method].is_ensemble:
        return asdict(settings)
    draft = resolve_draft(settings)
    return asdict(settings) | {"draft": None if draft is None else draft.text}


def _drafting(bench: Bench, session: Session) -> Configuration:
    """The configuration that other engines share their draft with: the first whose draft they can run."""
    found = [each for each in bench.configurations if each.name != each.baseline] or bench.configurations
    whole = (each for each in found if bench.peers and assistant_of(session, each.settings))
    return next(whole, found[0])


def _own(session: Session, prompt: Sequence[int], settings: Settings) -> Made:
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


def _others(run: PeerRun, prompt: Sequence[int], settings: Settings) -> Made:
    return Made(run(prompt, settings), None)


def _peer_settings(configuration: str, peers: Mapping[str, Peer]) -> dict[str, Any]:
    names = [name for name in peers if configuration.startswith(name)]
    return {"peer": dict(peers[max(names, key=len)].settings)} if names else {}


def _encode(session: Session, item: Item) -> list[int]:
    try:
        return session.encode(item.prompt)
    except InputError as error:
        raise InputError(f"Prompt {item.id}: {error.problem}", error.hint) from error


def prompt_hash(prompt: str) -> str:
    """By which a log knows a prompt again."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def _record(
    configuration: Configuration, item: Item, prompt: Sequence[int], made: Made, order: int, memory: int
) -> Record:
    steps = made.steps
    scores = [step.least_score for step in steps if step.least_score is not None]
    tokens = [token for step in steps for token in step.tokens]
    return Record(
        configuration=configuration.name,
        item=item.id,
        category=item.category,
        order=order,
        prompt_tokens=len(prompt),
        tree_depth=sum(step.depth for step in steps) / len(steps),
        tree_size=sum(step.drafted for step in steps) / len(steps),
        least_score=sum(scores) / len(scores) if scores else None,
        memory_bytes=memory,
        text_hash=hashlib.sha256(repr(tokens).encode()).hexdigest()[:16],
        finish_reason=steps[-1].finish_reason or "length",
        baseline=configuration.baseline,
        prompt_hash=prompt_hash(item.prompt),
        levels=None if made.levels is None else Levels.of(made.levels),
        **shape_of(RunStats.of(steps)),
        **made.streamed,
    )
