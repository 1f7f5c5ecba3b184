"""A draft that copies where the text repeats itself and asks a model elsewhere.

Copied guesses cost nothing and come long; a model's cost a pass each. Which of the two guesses is decided by
the text alone, before anything is drawn, so a verifier that is exact for either is exact for both.
"""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.drafting.base import Drafter
from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree


class NgramFirstDrafter:
    """Takes n-grams where there are any, and else what another drafter guesses.

    Args:
        ngram: looks the last tokens up.
        model: guesses where they are new.
    """

    def __init__(self, ngram: NgramDrafter, model: Drafter) -> None:
        self._ngram = ngram
        self._model = model
        self._copied = False

    @property
    def forward_seconds(self) -> float:
        return self._model.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._ngram.begin(prompt)
        self._model.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        copied = self._ngram.propose(position, depth, randomness)
        self._copied = len(copied) > 0
        return copied if self._copied else self._model.propose(position, depth, randomness)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self._ngram.commit(path, tokens)
        self._model.commit(() if self._copied else path, tokens)
