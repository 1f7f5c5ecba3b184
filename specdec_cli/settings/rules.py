"""What a setting may say of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting is for and which values it takes.

    Attributes:
        panel: the group it belongs to in `--help`.
        help: what it does, in one phrase.
        low, high: the least and the greatest value, if any.
        above: the value must be greater than this, if it is given.
        choices: the only values, if there are few.
        unset: what happens where the default is None.
        empty: an empty text is a value.
        words: words that stand for numbers, whatever the range.
        listed: a text is a list, with commas between its parts.
        longest: characters that a text may have, or each of several.
        most: parts that a list may have.
        hint: advice for a value out of range, where the default is not the best advice.
        flags: names of its option, where `--its-name` alone is not enough.
        text: its option takes any text, some of which is read as another setting.
    """

    panel: str
    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    unset: str = ""
    empty: bool = False
    words: Mapping[str, int] = field(default_factory=dict)
    listed: bool = False
    longest: int = 4096
    most: int = 256
    hint: str = ""
    flags: tuple[str, ...] = ()
    text: bool = False

    @property
    def limits(self) -> str:
        """The range in words that follow "a number", or nothing."""
        ends = [f"at least {self.low}"] if self.low is not None else []
        ends += [f"above {self.above}"] if self.above is not None else []
        ends += [f"at most {self.high}"] if self.high is not None else []
        words = " and ".join(ends)
        return f"of {words}" if words.startswith("at") else words

    def admits(self, number: float) -> bool:
        """Whether the number is in range; infinity and NaN never are."""
        return (
            math.isfinite(number)
            and (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
        )
