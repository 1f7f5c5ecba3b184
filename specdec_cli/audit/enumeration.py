"""Every path of chance through a program, each with its exact weight.

A program draws only through `Randomness`. Replaying it over all outcomes of all draws gives the law of its
result without sampling: equality up to float64 rounding, no seed, no tolerance for luck.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from specdec_cli.errors import InputError
from specdec_cli.sampling.randomness import Key, Randomness

EXACT = 1e-12

Law = dict[tuple[int, ...], float]
TargetLaw = Callable[[Sequence[int]], Tensor]
Result = TypeVar("Result", bound=Hashable)


class NoiseReusedError(Exception):
    """A key was drawn from twice: noise used twice, which no weight here would account for."""


class PathRandomness:
    """Chance that follows a script of choices and multiplies their weights."""

    def __init__(self, script: Sequence[int]) -> None:
        self.script = list(script)
        self.options: list[int] = []
        self.weight = 1.0
        self._keys: set[Key] = set()

    def bernoulli(self, probability: float, key: Key) -> bool:
        self._use(key)
        if not probability > 0:  # NaN too
            return False
        if probability >= 1:
            return True
        return bool(self._choose([(1, probability), (0, 1 - probability)]))

    def categorical(self, probs: Tensor, key: Key) -> int:
        self._use(key)
        weights = probs.tolist()
        total = sum(weights)
        return self._choose([(token, weight / total) for token, weight in enumerate(weights) if weight > 0])

    def categoricals(self, probs: Tensor, keys: Sequence[Key]) -> Tensor:
        drawn = [self.categorical(row, key) if row.any() else 0 for row, key in zip(probs, keys, strict=True)]
        return torch.tensor(drawn)

    def exponentials(self, tokens: Tensor, key: Key) -> Tensor:
        hint = "Leave --coupled out here: a coupled run is checked by its text, which is plain decoding's."
        raise InputError("Coupled draws are continuous: they have no paths to enumerate.", hint)

    def _use(self, key: Key) -> None:
        if key in self._keys:
            raise NoiseReusedError(f"noise used twice: {key}")
        self._keys.add(key)

    def _choose(self, options: list[tuple[int, float]]) -> int:
        index = len(self.options)
        if index == len(self.script):
            self.script.append(0)
        self.options.append(len(options))
        value, weight = options[self.script[index]]
        self.weight *= weight
        return value

    def next_script(self) -> list[int] | None:
        """The script of the path after this one; None after the last."""
        script = self.script[: len(self.options)]
        while script and script[-1] + 1 == self.options[len(script) - 1]:
            script.pop()
        if not script:
            return None
        script[-1] += 1
        return script


def law_of(program: Callable[[Randomness], Result]) -> dict[Result, float]:
    """The law of what a program returns: a dictionary from result to probability."""
    law: dict[Result, float] = {}
    script: list[int] | None = []
    while script is not None:
        randomness = PathRandomness(script)
        result = program(randomness)
        law[result] = law.get(result, 0.0) + randomness.weight
        script = randomness.next_script()
    return law


def law_of_text(target_law: TargetLaw, prompt: Sequence[int], length: int) -> Law:
    """The target's own law of the next `length` tokens, by multiplying its conditionals."""
    law: Law = {(): 1.0}
    for _ in range(length):
        law = {
            (*text, token): weight * probability
            for text, weight in law.items()
            for token, probability in enumerate(target_law([*prompt, *text]).tolist())
            if probability > 0
        }
    return law


def completed(law: Law, target_law: TargetLaw, prompt: Sequence[int], length: int) -> Law:
    """A law of texts of any length up to `length`, each continued by the target to that length."""
    full: Law = {}
    for text, weight in law.items():
        for rest, probability in law_of_text(target_law, [*prompt, *text], length - len(text)).items():
            full[(*text, *rest)] = full.get((*text, *rest), 0.0) + weight * probability
    return full


def distance(law: Law, other: Law) -> float:
    """Total variation distance between two laws."""
    return sum(abs(law.get(text, 0.0) - other.get(text, 0.0)) for text in {*law, *other}) / 2
