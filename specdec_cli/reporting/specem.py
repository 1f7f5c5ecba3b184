"""A SpecEM answer as it grows, and who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from specdec_cli.reporting.console import err, out
from specdec_cli.reporting.model_names import short_names
from specdec_cli.reporting.table import FittedTable, figures, names
from specdec_cli.runtime.promise import Promise
from specdec_cli.specem.rounds import Round

SCHEMA_VERSION = 1
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
NOTHING = "-"


@dataclass(frozen=True)
class Tally:
    """What the rounds of one answer come to.

    Attributes:
        drafters, verifiers: labels of the models.
        rounds: all of them.
    """

    drafters: Sequence[str]
    verifiers: Sequence[str]
    rounds: Sequence[Round]

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(each.text for each in self.rounds)

    @property
    def seconds(self) -> float:
        """Of all rounds."""
        return sum(each.seconds for each in self.rounds)

    def wins(self, index: int) -> int:
        """Rounds that a drafter won, alone or with others who wrote the same."""
        return sum(self._winner(each, index) for each in self.rounds)

    def _winner(self, each: Round, index: int) -> bool:
        candidate = next(one for one in each.candidates if each.winner in one.authors)
        return index in candidate.authors


def show_round(each: Round, drafters: Sequence[str]) -> None:
    """Print the segment that won to stdout, in its author's colour on a terminal."""
    console = out()
    if console.is_terminal:
        colour = COLOURS[each.winner % len(COLOURS)]
        console.print(Text(each.text, style=colour), end="", soft_wrap=True)
    else:
        console.file.write(each.text)
    console.file.flush()


def report_tally(tally: Tally) -> None:
    """Print the models, their wins and weights, and the speed, to stderr."""
    err().print(tally_table(tally))
    count = len(tally.rounds)
    reason = tally.rounds[-1].finish_reason or "interrupted" if count else "interrupted"
    speed = f"{count / tally.seconds:.2f} rounds/s" if count else "no rounds"
    err().print(Text(f"{count} rounds · {speed} · ended by: {reason}", style="dim"), soft_wrap=True)


def tally_table(tally: Tally) -> FittedTable:
    """One row a model."""
    caption = "Wins are shared where several wrote the same. Weight: of a vote, after the last round."
    columns = [*names("model"), *figures("drafted", "won", "characters", "weight")]
    table = FittedTable(columns, caption=caption)
    weights = dict(zip(tally.verifiers, tally.rounds[-1].weights, strict=True)) if tally.rounds else {}
    short = short_names([*tally.drafters, *tally.verifiers])
    for index, name in enumerate(tally.drafters):
        written = sum(len(each.text) for each in tally.rounds if each.winner == index)
        cells = [str(len(tally.rounds)), str(tally.wins(index)), str(written), _weight(weights.get(name))]
        table.add_row(Text(short[name], style=COLOURS[index % len(COLOURS)]), *cells)
    for name in tally.verifiers:
        if name not in tally.drafters:
            table.add_row(short[name], NOTHING, NOTHING, NOTHING, _weight(weights.get(name)))
    return table


def _weight(weight: float | None) -> str:
    return NOTHING if weight is None else f"{weight:.3f}"


def summary(tally: Tally) -> dict[str, Any]:
    """The figures of one answer, for a file of results."""
    last = tally.rounds[-1] if tally.rounds else None
    return {
        "rounds": len(tally.rounds),
        "wins": {name: tally.wins(index) for index, name in enumerate(tally.drafters)},
        "weights": dict(zip(tally.verifiers, last.weights, strict=True)) if last else {},
        "seconds": round(tally.seconds, 3),
        "finish_reason": last.finish_reason if last else None,
    }


def answer_record(
    prompt: str,
    tally: Tally,
    settings: dict[str, object],
    machine: dict[str, object],
    identical: Promise | None,
) -> dict[str, Any]:
    """Everything about one answer, for --json; `identical` is of `runtime.promise`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "prompt": prompt,
        "text": tally.text,
        **summary(tally),
        "identical": identical,
        "segments": [_segment(each, tally.drafters) for each in tally.rounds],
        "settings": settings,
        "machine": machine,
    }


def _segment(each: Round, drafters: Sequence[str]) -> dict[str, Any]:
    candidates = [
        asdict(one) | {"authors": [drafters[index] for index in one.authors]} for one in each.candidates
    ]
    return {
        "text": each.text,
        "author": drafters[each.winner],
        "candidates": candidates,
        "votes": list(each.votes),
        "weights": list(each.weights),
        "draft_seconds": each.draft_seconds,
        "verify_seconds": each.verify_seconds,
    }
