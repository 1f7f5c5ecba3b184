"""What acceptance depended on in one run, as a log keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specdec_cli.engine.observation import Level

ENTROPY_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Levels:
    """The positions at which a run had guesses to judge, in columns of one length.

    Attributes:
        place: of the token in the output, from 0.
        depth: of the guess in the draft, from 1.
        entropy: of the target's own distribution there, at temperature 1, in bits.
        accepted: 1 where a guess was accepted, else 0.
    """

    place: tuple[int, ...]
    depth: tuple[int, ...]
    entropy: tuple[float, ...]
    accepted: tuple[int, ...]

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Levels:
        """Some levels as columns."""
        return cls(
            tuple(level.place for level in levels),
            tuple(level.depth for level in levels),
            tuple(round(level.entropy, ENTROPY_DIGITS) for level in levels),
            tuple(int(level.accepted) for level in levels),
        )

    @classmethod
    def read(cls, columns: Mapping[str, Any] | None) -> Levels | None:
        """What a log has of them; None where it has none.

        Raises:
            AttributeError, TypeError, ValueError: no such columns.
        """
        if columns is None:
            return None
        found = cls(**{name: tuple(column) for name, column in columns.items()})
        if len({len(found.place), len(found.depth), len(found.entropy), len(found.accepted)}) > 1:
            raise ValueError("columns of different lengths")
        return found
