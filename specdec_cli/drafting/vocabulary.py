"""What a draft can say, in the target's words.

A draft may have logits for a few of the target's tokens only. Choosing among those few costs a fraction of
choosing among all, so drafters choose first and name what they chose afterwards. Models of one tokenizer
also pad their vocabularies to different sizes; what only one of them has is never proposed.
"""

from __future__ import annotations

from torch import Tensor

from specdec_cli.sampling.vocabulary import spread


class DraftVocabulary:
    """The tokens that a draft's logits stand for.

    Args:
        tokens: (R,) their ids, ascending; None where logit i stands for id i.
        vocab_size: V of the target's vocabulary.
    """

    def __init__(self, tokens: Tensor | None, vocab_size: int) -> None:
        self._tokens = None if tokens is None else tokens[tokens < vocab_size]
        self._vocab_size = vocab_size

    def known(self, logits: Tensor) -> Tensor:
        """The logits (..., R) of tokens that the target has too."""
        return logits[..., : self._vocab_size if self._tokens is None else self._tokens.numel()]

    def ids(self, choices: Tensor) -> Tensor:
        """The token ids of indices among the known logits, of any shape."""
        return choices if self._tokens is None else self._tokens[choices]

    def id(self, choice: int) -> int:
        """The token id of an index among the known logits."""
        return choice if self._tokens is None else int(self._tokens[choice])

    def spread(self, probs: Tensor) -> Tensor:
        """A distribution over the known tokens, (..., R), as the target sees it: (..., V)."""
        return spread(probs, self._tokens, self._vocab_size, 0.0)

    def wide(self, logits: Tensor) -> Tensor:
        """The draft's logits as the target sees them: (..., V), minus infinity for what it cannot say."""
        return spread(self.known(logits), self._tokens, self._vocab_size, float("-inf"))
