"""Chance, keyed by where it is used.

All chance of decoding passes through `Randomness`, and each draw carries a key: the position in the text and
the purpose. That makes a run repeatable whatever the shape of its steps, and lets a test walk every path of
chance with its exact weight.

The noise is counter-based: the finaliser of SplitMix64 (Steele, Lea & Flood 2014) over seed, key and token
id. So it depends neither on what was drawn before nor on the device. What the target emits is drawn as a race
with noise for each token, so that a draft may look at the noise of the few tokens it thinks of; all other
draws take one number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from specdec_cli.errors import NotFiniteError

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_UNIT = 2.0**-52


class Purpose(IntEnum):
    """What a draw decides."""

    EMIT = 1
    ACCEPT = 2
    DRAFT = 3
    CHOOSE = 4


class Key(NamedTuple):
    """Where and what for a draw is made; within one text every key is used at most once.

    `start` is the position at which the step began. Drafts and acceptances of positions that a step did not
    reach may have influenced what it emitted (block verification looks at the whole block), so a later step
    must not see their noise again.
    """

    position: int
    purpose: Purpose
    start: int = 0
    sibling: int = 0


def emitting(position: int) -> Key:
    """The draw of the token that the target itself emits at `position`: the same for every method."""
    return Key(position, Purpose.EMIT)


def accepting(position: int, start: int, sibling: int = 0) -> Key:
    """The draw that accepts or rejects the `sibling`-th guess for `position` in the step begun at `start`."""
    return Key(position, Purpose.ACCEPT, start, sibling)


def drafting(position: int, start: int, sibling: int = 0) -> Key:
    """The draw of the `sibling`-th guess for `position` in the step begun at `start`."""
    return Key(position, Purpose.DRAFT, start, sibling)


def choosing(position: int) -> Key:
    """The draw of the model that an ensemble asks for the token at `position`."""
    return Key(position, Purpose.CHOOSE)


class Randomness(Protocol):
    """What can be left to chance."""

    def bernoulli(self, probability: float, key: Key) -> bool:
        """True with this probability; 0 or less is never, 1 or more always, and what is no number never."""
        ...

    def categorical(self, probs: Tensor, key: Key) -> int:
        """A token drawn from a distribution (V,), which need not be normalised.

        Raises:
            NotFiniteError: it holds NaN or infinity, or nothing but zeros.
        """
        ...

    def categoricals(self, probs: Tensor, keys: Sequence[Key]) -> Tensor:
        """A token from each of n distributions (n, V), as drafts draw them: (n,); any for a row of zeros."""
        ...

    def exponentials(self, tokens: Tensor, key: Key) -> Tensor:
        """The noise (n,) that a draw of the target under this key has for these tokens (n,): Exp(1) each."""
        ...


class SeededRandomness:
    """Chance that a seed decides: the same seed and key give the same draw, on any device.

    Args:
        seed: any whole number; 64 bits of it count.
    """

    def __init__(self, seed: int) -> None:
        self._state = _mix((seed + _GOLDEN) & _MASK)

    def bernoulli(self, probability: float, key: Key) -> bool:
        return self._uniform(key) < probability

    def categorical(self, probs: Tensor, key: Key) -> int:
        if key.purpose is Purpose.EMIT:
            return self._race(probs, key)
        cumulative = probs.cumsum(-1, dtype=torch.float64)
        # 52 bits keep the product below the total, so that the search always finds a token.
        total = float(cumulative[-1])
        _require_weight(0 < total < math.inf)
        point = self._uniform(key) * total
        return min(int(torch.searchsorted(cumulative, point, right=True)), probs.numel() - 1)

    def categoricals(self, probs: Tensor, keys: Sequence[Key]) -> Tensor:
        cumulative = probs.cumsum(-1, dtype=torch.float64)
        uniforms = torch.tensor([self._uniform(key) for key in keys], dtype=torch.float64)
        points = uniforms.to(probs.device)[:, None] * cumulative[:, -1:]
        found = torch.searchsorted(cumulative, points, right=True)[:, 0]
        return found.clamp_(max=probs.shape[-1] - 1)  # beyond the end for a row of zeros

    def _race(self, probs: Tensor, key: Key) -> int:
        """The Gumbel-max draw, as a race of exponentials: token x finishes at E(key, x) / probs[x]."""
        support = probs.nonzero()[:, 0]
        if support.numel() == 1:
            return int(support)
        finish = self.exponentials(support, key).div_(probs[support].double())
        _require_weight(support.numel() > 0)
        winner = finish.argmin()  # of NaN, if there is any
        _require_weight(0 < float(finish[winner]) < math.inf)
        return int(support[winner])

    def exponentials(self, tokens: Tensor, key: Key) -> Tensor:
        mixed = (tokens * _signed(_GOLDEN)).add_(_signed(self._hash(key)))
        mixed = _mix_tensor(mixed)
        # The upper 52 bits, moved half a unit from 0 so that the logarithm is finite.
        uniform = _shifted(mixed, 12).double().add_(0.5).mul_(_UNIT)
        return uniform.log_().neg_()

    def _uniform(self, key: Key) -> float:
        """A number from [0, 1)."""
        return (self._hash(key) >> 12) * _UNIT

    def _hash(self, key: Key) -> int:
        state = self._state
        for part in key:
            state = _mix((state ^ part) + _GOLDEN & _MASK)
        return state


def _require_weight(sound: bool) -> None:
    if not sound:
        raise NotFiniteError(
            "A distribution holds what is no probability, or nothing.",
            "Choose another --dtype, or less extreme settings.",
        )


def _mix(value: int) -> int:
    value = (value ^ value >> 30) * _MIX_1 & _MASK
    value = (value ^ value >> 27) * _MIX_2 & _MASK
    return value ^ value >> 31


def _mix_tensor(value: Tensor) -> Tensor:
    """`_mix` of an int64 tensor, whose products wrap as unsigned ones do; in place."""
    value ^= _shifted(value, 30)
    value *= _signed(_MIX_1)
    value ^= _shifted(value, 27)
    value *= _signed(_MIX_2)
    value ^= _shifted(value, 31)
    return value


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's own repeats the sign bit."""
    return (value >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
