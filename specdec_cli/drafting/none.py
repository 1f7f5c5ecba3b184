"""No draft: plain autoregressive decoding is the loop with nothing to verify."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.sampling.randomness import Randomness
from specdec_cli.tree import TokenTree


class NoDrafter:
    """Proposes nothing."""

    forward_seconds = 0.0

    def begin(self, prompt: Sequence[int]) -> None:
        """Nothing is kept."""

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        return TokenTree()

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        """Nothing is kept."""
