"""What acceptance depended on in one run, as a log keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specdec_cli.engine.observation import Level
from specdec_cli.storage.numbers import Count, Number

ENTROPY_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Levels:
    """The positions at which a run had guesses to judge, in columns of one length.

    Attributes:
        place: position of the token in the output, from 0; logs have it under that name.
        depth: of the guess in the draft, from 1.
        entropy: of the target's own distribution there, at temperature 1, in bits.
        accepted: 1 where a guess was accepted, else 0.
    """

    place: tuple[Count, ...]
    depth: tuple[Count, ...]
    entropy: tuple[Number, ...]
    accepted: tuple[Count, ...]

    def __post_init__(self) -> None:
        if len({len(self.place), len(self.depth), len(self.entropy), len(self.accepted)}) > 1:
            raise ValueError("columns of different lengths")

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Levels:
        """Some levels as columns."""
        return cls(
            tuple(level.position for level in levels),
            tuple(level.depth for level in levels),
            tuple(round(level.entropy, ENTROPY_DIGITS) for level in levels),
            tuple(int(level.accepted) for level in levels),
        )
