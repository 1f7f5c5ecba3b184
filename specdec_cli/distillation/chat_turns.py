"""Which token comes next in a text that a target writes with itself: its own, or one of the chat template."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

LONGEST_QUESTION = 96  # tokens; a model that asks on and on gets its own answer then
FREE_SHARE = 0.2  # of the user turns, those for which the target chooses even the first words


class Role(IntEnum):
    """Who wrote a token."""

    TEMPLATE = 0
    USER = 1
    ANSWER = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """What a chat template puts around the turns, as token ids; all empty for a model without one.

    Attributes:
        before: up to the first user turn.
        after_user: from the end of a user turn to the start of the answer.
        after_answer: from the end of an answer to the start of the next user turn.
        stops: ids that end a turn.
    """

    before: tuple[int, ...]
    after_user: tuple[int, ...]
    after_answer: tuple[int, ...]
    stops: frozenset[int]

    @property
    def is_chat(self) -> bool:
        """Whether there are turns at all."""
        return bool(self.after_user)


class Dialogue:
    """One text in the making, turn after turn.

    Args:
        frame: of the target.
        openings: first words of user turns, as token ids, or whole turns.
        whole: whether the openings are whole user turns, to be answered at once.
        chance: chooses among them.
    """

    def __init__(
        self, frame: Frame, openings: Sequence[Sequence[int]], whole: bool, chance: random.Random
    ) -> None:
        self._frame = frame
        self._openings = openings
        self._whole = whole
        self._chance = chance
        self._queue: deque[int] = deque(frame.before)
        self._asked = 0
        self.role = Role.ANSWER
        self._begin_turn()

    def next(self, drawn: int) -> tuple[int, Role]:
        """The next token, given what the target would say, and who wrote it."""
        if self._queue:
            return self._queue.popleft(), Role.TEMPLATE
        role = self.role
        if drawn in self._frame.stops:
            self._end_turn(drawn)
            return drawn, role
        if role is Role.USER:
            self._asked += 1
            if self._asked > LONGEST_QUESTION:
                self._end_turn(None)
                return self._queue.popleft(), Role.TEMPLATE
        return drawn, role

    def _begin_turn(self) -> None:
        if self._whole or self._chance.random() >= FREE_SHARE:
            self._queue += self._chance.choice(self._openings)
        self._asked = 0
        if not self._frame.is_chat:
            self.role = Role.ANSWER
        elif self._whole:
            self._queue += self._frame.after_user
            self.role = Role.ANSWER
        else:
            self.role = Role.USER

    def _end_turn(self, said: int | None) -> None:
        """Queue what the template puts after the turn; its first token may have been said already."""
        asked = self.role is Role.USER
        after = self._frame.after_user if asked else self._frame.after_answer
        self._queue += after[1:] if after and after[0] == said else after
        if asked:
            self.role = Role.ANSWER
        else:
            self._begin_turn()
