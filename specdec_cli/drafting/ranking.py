"""How a best-first tree ranks the children of its nodes.

`DraftRanking` ranks by the draft's distribution (Svirschevski et al. 2024, SpecExec,
https://arxiv.org/abs/2406.02532). `CoupledRanking` ranks by what the target will draw if it agrees with the
draft: the target's sample is a race whose noise the seed and the position decide, so the draft runs the same
race on its own distribution (for one guess, the Gumbel coupling of Daliri et al. 2024,
https://arxiv.org/abs/2408.07978). The tree remains a mere guess, and the emitted text is what it was without
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.sampling.distribution import Sampling, distribution, likeliest
from specdec_cli.sampling.randomness import Randomness, emitting

KEPT = 64  # positions whose noise is remembered: a tree is not deeper, and the next step needs them again
DOUBT = 0.5  # how far the draft's log-probabilities are taken to be from the target's, in the race's units


class Ranking(Protocol):
    """Ranks what may follow."""

    def begin_step(self, randomness: Randomness) -> None:
        """Learn the chance of the step that begins."""
        ...

    def __call__(
        self, logits: Tensor, vocabulary: DraftVocabulary, positions: Sequence[int], count: int
    ) -> tuple[Tensor, Tensor]:
        """The best tokens for each of n positions, best first: log-probabilities and ids, both (n, K).

        Args:
            logits: (n, R) of the draft.
            vocabulary: what they stand for.
            positions: n of them in the text.
            count: of tokens asked for; K is less where the draft knows fewer.
        """
        ...


class DraftRanking:
    """By the draft's probabilities at the target's temperature.

    Args:
        temperature: divides the draft's logits; 0 ranks by its plain distribution.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def begin_step(self, randomness: Randomness) -> None:
        pass

    def __call__(
        self, logits: Tensor, vocabulary: DraftVocabulary, positions: Sequence[int], count: int
    ) -> tuple[Tensor, Tensor]:
        log_probs, choices = likeliest(vocabulary.known(logits), count, self._temperature)
        return log_probs, vocabulary.ids(choices)


class CoupledRanking:
    """By the outcome of the target's own race, run on the draft's distribution.

    Args:
        sampling: the target's.
        doubt: how far the draft's log-probabilities are taken to be from the target's, in the race's units;
            greater makes the tree broader.
    """

    def __init__(self, sampling: Sampling, doubt: float = DOUBT) -> None:
        self._sampling = sampling
        self._doubt = doubt
        self._randomness: Randomness | None = None
        self._noise: dict[int, Tensor] = {}

    def begin_step(self, randomness: Randomness) -> None:
        if randomness is not self._randomness:
            self._noise = {}
        self._randomness = randomness

    def __call__(
        self, logits: Tensor, vocabulary: DraftVocabulary, positions: Sequence[int], count: int
    ) -> tuple[Tensor, Tensor]:
        scores, temperature = vocabulary.known(logits), self._sampling.temperature
        if not self._sampling.is_greedy:
            plain = distribution(scores, self._sampling).log()
            noise = torch.stack([self._gumbel(position, vocabulary, plain) for position in positions])
            scores, temperature = (plain + noise) / self._doubt, 1.0
        log_probs, choices = likeliest(scores, count, temperature)
        return log_probs, vocabulary.ids(choices)

    def _gumbel(self, position: int, vocabulary: DraftVocabulary, like: Tensor) -> Tensor:
        """The noise of all known tokens (R,) at a position: minus the logarithm of their exponentials."""
        if position not in self._noise:
            assert self._randomness is not None, "begin_step comes first"
            tokens = vocabulary.ids(torch.arange(like.shape[-1], device=like.device))
            exponentials = self._randomness.exponentials(tokens, emitting(position))
            self._noise = {at: noise for at, noise in self._noise.items() if at > position - KEPT}
            self._noise[position] = exponentials.log_().neg_().to(like.dtype)
        return self._noise[position]
