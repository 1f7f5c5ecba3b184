"""A benchmark: every configuration on every prompt, interleaved, each run written down at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from specdec_cli.benchmarking.interleaving import turned
from specdec_cli.benchmarking.levels import Levels
from specdec_cli.benchmarking.llama_peer import llama_cpp_peers
from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.benchmarking.making import Made, Maker, Run, own_run, peer_run
from specdec_cli.benchmarking.peers import Peer, assistant_of, transformers_peers
from specdec_cli.benchmarking.records import Log, Record, shape_of
from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.engine.stats import RunStats
from specdec_cli.errors import InputError
from specdec_cli.evaluation.datasets import Item
from specdec_cli.registry.methods import METHODS, PLAIN
from specdec_cli.runtime.promise import UP_TO_TIES, Promise
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.tracing.file import TraceFile

PEERS: dict[str, Callable[[Session, Settings], dict[str, Peer]]] = {
    "transformers": transformers_peers,
    "llama-cpp": llama_cpp_peers,
}


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
    machine = _machine(session, log)
    elsewhere = bool(log.other_machine(machine))
    own = {each.name for each in bench.configurations}
    maker = Maker(session, runs, own, trace, bench.measures_link)
    progress.begin(len(configurations) * len(bench.items))
    for number, item in enumerate(bench.items):
        for each in turned(configurations, number):
            if not log.has(each.name, item.id):
                made, memory = maker.make(each, item, prompts[item.id])
                record = _record(each, item, prompts[item.id], made, len(log.records), memory)
                if each.name in own:
                    record = replace(record, identical=_promised(session, each.settings, elsewhere))
                log.add(record, _logged(each.settings), machine | _peer_settings(each.name, peers))
            progress.advance(f"{item.id}: {each.name}")
    return configurations


def _machine(session: Session, log: Log) -> dict[str, Any]:
    """What runs are made on; the session is warned where the log was begun on something else.

    Raises:
        InputError: the log was measured in another number format.
    """
    machine = fingerprint() | {"dtype": session.number_format}
    changed = log.other_machine(machine)
    if "dtype" in changed:
        problem = f"The log was measured in another number format than {machine['dtype']}."
        raise InputError(problem, "Give another --exp-name: texts and times of two formats do not compare.")
    if changed:
        session.warnings.append(
            f"The log was begun on another machine or set-up ({', '.join(changed)}): times do not compare."
        )
    return machine


def _promised(session: Session, settings: Settings, elsewhere: bool) -> Promise | None:
    """As `Session.identical`; other libraries and processors, which a log was begun on, round otherwise."""
    promise = session.identical(settings)
    return UP_TO_TIES if promise and elsewhere else promise


def _runs(bench: Bench, session: Session) -> tuple[Mapping[str, Run], list[Configuration], dict[str, Peer]]:
    own = partial(own_run, session)
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
            runs[named] = partial(peer_run, peer.run)
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
