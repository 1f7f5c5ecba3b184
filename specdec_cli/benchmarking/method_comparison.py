"""The same prompt under several methods, in turn: paired speeds, plain decoding first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from specdec_cli.benchmarking.interleaving import turned, warm_up
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.progress import Report
from specdec_cli.runtime.promise import BITWISE, Promise
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings


@dataclass(frozen=True)
class Contender:
    """A method under a name."""

    name: str
    settings: Settings


@dataclass(frozen=True)
class MethodComparison:
    """What a contender measured, beside the first one.

    Attributes:
        name: of the contender.
        stats: totals of all rounds.
        speedups: its tokens per second over the first contender's, round by round.
        first_difference: where its tokens leave the first contender's; None if they are the same.
        identical: whether they have to be the same; see `runtime.promise`.
    """

    name: str
    stats: RunStats
    speedups: tuple[float, ...]
    first_difference: int | None
    identical: Promise | None = None

    @property
    def speedup(self) -> float:
        """Median over the rounds."""
        return median(self.speedups)

    @property
    def is_broken(self) -> bool:
        """Whether the tokens are others, though the same bits are promised."""
        return self.identical == BITWISE and self.first_difference is not None


def compare_methods(
    session: Session,
    prompt: Sequence[int],
    contenders: Sequence[Contender],
    rounds: int,
    report: Report,
) -> list[MethodComparison]:
    """Decode the prompt with every contender in each round, in an order that turns from round to round.

    Each runs once before for a few tokens, uncounted.
    """
    for contender in contenders:
        list(session.steps(prompt, warm_up(contender.settings)))
    runs: dict[str, list[list[Step]]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in turned(contenders, number):
            report(f"Round {number + 1} of {rounds}: {contender.name}")
            runs[contender.name].append(list(session.steps(prompt, contender.settings)))
    promises = {each.name: session.identical(each.settings) for each in contenders}
    return [replace(each, identical=promises[each.name]) for each in comparisons(runs)]


def comparisons(runs: dict[str, list[list[Step]]]) -> list[MethodComparison]:
    """What each contender measured, from its steps, round by round; the first is the baseline."""
    speeds = {
        name: [RunStats.of(steps).tokens_per_second or 0.0 for steps in rounds]
        for name, rounds in runs.items()
    }
    baseline = next(iter(runs))
    plain = _tokens(runs[baseline][0])
    return [
        MethodComparison(
            name=name,
            stats=RunStats.of(step for steps in rounds for step in steps),
            speedups=tuple(own / base for own, base in zip(speeds[name], speeds[baseline], strict=True)),
            first_difference=_first_difference(_tokens(rounds[0]), plain),
        )
        for name, rounds in runs.items()
    ]


def _tokens(steps: Sequence[Step]) -> list[int]:
    return [token for step in steps for token in step.tokens]


def _first_difference(tokens: Sequence[int], others: Sequence[int]) -> int | None:
    if tokens == others:
        return None
    pairs = enumerate(zip(tokens, others, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(tokens), len(others)))
