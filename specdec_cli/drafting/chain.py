"""A chain of samples from a smaller model.

Leviathan, Kalman & Matias (2023), https://arxiv.org/abs/2211.17192.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from specdec_cli.drafting.base import DraftModel
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import Randomness, drafting
from specdec_cli.tree import TokenTree


class ChainDrafter:
    """Draws tokens one after the other from the model, at the target's own sampling.

    Args:
        model: the draft.
        gamma: tokens of a chain.
        sampling: how the draft's logits become distributions.
        vocab_size: V of the target's vocabulary.
    """

    def __init__(self, model: DraftModel, gamma: int, sampling: Sampling, vocab_size: int) -> None:
        self._model = model
        self._gamma = gamma
        self._sampling = sampling
        self._vocabulary = DraftVocabulary(model.vocabulary, vocab_size)
        self._scored = 0

    @property
    def forward_seconds(self) -> float:
        return self._model.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._scored = 0
        self._model.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        length = min(self._gamma, depth, self._model.free_positions)
        tokens: list[int] = []
        proposals: list[Tensor] = []
        self._scored = max(length - 1, 0)  # the last guess is not read before it is accepted
        for step in range(length):
            logits = self._model.grow(tokens[-1:], [step - 2])[0] if step else self._model.root()
            draft = distribution(self._vocabulary.known(logits), self._sampling)
            choice = randomness.categorical(draft, drafting(position + step, position))
            tokens.append(self._vocabulary.id(choice))
            proposals.append(self._vocabulary.spread(draft))
        return TokenTree.chain(tokens, proposals)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self._model.commit([node for node in path if node < self._scored], tokens)
