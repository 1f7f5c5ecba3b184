"""Two logs of the same configurations and prompts, paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specdec_cli.benchmarking.records import Record
from specdec_cli.benchmarking.summary import Ratio, paired_ratio


@dataclass(frozen=True, slots=True)
class LogComparison:
    """One configuration in two logs.

    Attributes:
        configuration: its name.
        prompts: that both logs have.
        before, after: tokens per second over all of them.
        ratio: after over before, paired by prompt.
        tokens_per_pass: before and after.
        same_text: prompts of which both gave the same tokens.
    """

    configuration: str
    prompts: int
    before: float
    after: float
    ratio: Ratio
    tokens_per_pass: tuple[float, float]
    same_text: int

    def surely_below(self, least: float) -> bool:
        """Whether the whole interval, or the ratio where there is none, lies below."""
        return (self.ratio.value if self.ratio.high is None else self.ratio.high) < least


def compare_logs(before: Sequence[Record], after: Sequence[Record]) -> list[LogComparison]:
    """What the logs have in common, in the order of the first."""
    later = {(each.configuration, each.item): each for each in after}
    pairs: dict[str, list[tuple[Record, Record]]] = {}
    for each in before:
        other = later.get((each.configuration, each.item))
        if other is not None:
            pairs.setdefault(each.configuration, []).append((each, other))
    return [_comparison(name, found) for name, found in pairs.items()]


def not_in_both(before: Sequence[Record], after: Sequence[Record]) -> list[str]:
    """Configurations that one of the logs lacks, or has with other prompts."""
    first, second = ({(each.configuration, each.item) for each in log} for log in (before, after))
    return sorted({configuration for configuration, _ in first ^ second})


def _comparison(name: str, pairs: Sequence[tuple[Record, Record]]) -> LogComparison:
    sides = list(zip(*pairs, strict=True))
    tokens, passes, seconds = (
        [sum(getattr(each, field) for each in side) for side in sides]
        for field in ("tokens", "passes", "seconds")
    )
    return LogComparison(
        configuration=name,
        prompts=len(pairs),
        before=tokens[0] / seconds[0],
        after=tokens[1] / seconds[1],
        ratio=paired_ratio([each.speed for each in sides[1]], [each.speed for each in sides[0]]),
        tokens_per_pass=(tokens[0] / passes[0], tokens[1] / passes[1]),
        same_text=sum(one.text_hash == other.text_hash for one, other in pairs),
    )
