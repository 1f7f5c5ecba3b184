"""How a best-first tree ranks the children of its nodes.

`DraftRanking` ranks by the draft's distribution (Svirschevski et al. 2024, SpecExec,
https://arxiv.org/abs/2406.02532). `CoupledRanking` ranks by what the target will draw if it agrees with the
draft: the target's sample is a race whose noise the seed and the position decide, so the draft runs the same
race on its own distribution. The tree remains a mere guess, and the emitted text is what it was without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.sampling.distribution import Sampling, distribution, likeliest
from specdec_cli.sampling.randomness import Randomness, emitting

KEPT = 64  # positions whose noise is remembered: a tree is not deeper, and the next step needs them again
DOUBT = 0.5  # how far the draft's log-probabilities are taken to be from the target's, in the race's units


class Ranking(Protocol):
    """Ranks what may follow."""

    def begin_step(self, randomness: Randomness) -> None:
        """Learn the chance of the step that begins."""
        ...

    def __call__(self, logits: Tensor, positions: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
        """The `width` best tokens for each of n positions, best first: log-probabilities and ids (n, W)."""
        ...


class DraftRanking:
    """By the draft's probabilities at the target's temperature."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def begin_step(self, randomness: Randomness) -> None:
        pass

    def __call__(self, logits: Tensor, positions: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
        return likeliest(logits, width, self._temperature)


class CoupledRanking:
    """By the outcome of the target's own race, run on the draft's distribution."""

    def __init__(self, sampling: Sampling, doubt: float = DOUBT) -> None:
        self._sampling = sampling
        self._doubt = doubt
        self._randomness: Randomness | None = None
        self._noise: dict[int, Tensor] = {}

    def begin_step(self, randomness: Randomness) -> None:
        if randomness is not self._randomness:
            self._noise = {}
        self._randomness = randomness

    def __call__(self, logits: Tensor, positions: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
        if self._sampling.is_greedy:
            return likeliest(logits, width, self._sampling.temperature)
        scores = distribution(logits, self._sampling).log()
        noise = torch.stack([self._gumbel(position, scores) for position in positions])
        return likeliest((scores + noise) / self._doubt, width, 1.0)

    def _gumbel(self, position: int, like: Tensor) -> Tensor:
        """The noise of all tokens (V,) at a position: minus the logarithm of their exponentials."""
        if position not in self._noise:
            assert self._randomness is not None, "begin_step comes first"
            tokens = torch.arange(like.shape[-1], device=like.device)
            exponentials = self._randomness.exponentials(tokens, emitting(position))
            self._noise = {place: noise for place, noise in self._noise.items() if place > position - KEPT}
            self._noise[position] = exponentials.log_().neg_().to(like.dtype)
        return self._noise[position]
