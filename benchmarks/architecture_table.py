"""The table of `architectures.py`: a row for each architecture, with the reasons of what was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

RIGHT, TIED, REFUSED, WRONG, CRASH, SLOW, ABSENT = "right", "tie", "refused", "WRONG", "CRASH", "SLOW", "-"
FAULTS = (WRONG, CRASH, SLOW)


@dataclass
class Row:
    """One architecture's results: by column a verdict, and a line that says why."""

    name: str
    verdicts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unbuilt: str = ""

    def add(self, column: str, verdict: str, reason: str = "") -> None:
        """Enter one result."""
        self.verdicts[column], self.reasons[column] = verdict, reason

    @property
    def faults(self) -> list[str]:
        """Columns that are wrong, crash, or took too long."""
        return [column for column, verdict in self.verdicts.items() if verdict in FAULTS]


def line(row: Row) -> str:
    """One architecture's results in a line."""
    if row.unbuilt:
        return f"{row.name}: no tiny model: {row.unbuilt}"
    by_verdict: dict[str, list[str]] = {}
    for column, verdict in row.verdicts.items():
        reason = row.reasons[column]
        by_verdict.setdefault(f"{verdict} ({reason})" if reason else verdict, []).append(column)
    return f"{row.name}: " + "; ".join(f"{' '.join(columns)} {key}" for key, columns in by_verdict.items())


def markdown(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The table, and below it each refusal's or fault's reason."""
    built = [row for row in rows if not row.unbuilt]
    lines = ["| architecture | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        "| " + " | ".join((row.name, *(row.verdicts.get(column, ABSENT) for column in columns))) + " |"
        for row in built
    ]
    lines += ["", "Reasons:", ""]
    for row in built:
        reasons = {f"{row.verdicts[column]}: {why}" for column, why in row.reasons.items() if why}
        lines += [f"- {row.name}: {reason}" for reason in sorted(reasons)]
    lines += ["", "No tiny model:", ""]
    lines += [f"- {row.name}: {row.unbuilt}" for row in rows if row.unbuilt]
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """How many there are of each kind, and the faults by name."""
    built = [row for row in rows if not row.unbuilt]
    count: Callable[[Callable[[Row], bool]], int] = lambda test: sum(map(test, built))  # noqa: E731
    usable = count(lambda row: row.verdicts.get("autoregressive") in (RIGHT, TIED))
    faulty = [f"{row.name} ({', '.join(row.faults)})" for row in rows if row.faults]
    told = f"{len(built)} of {len(rows)} built, {usable} decode, {len(built) - usable} do not"
    return f"{told}; faults: {', '.join(faulty) or 'none'}"
