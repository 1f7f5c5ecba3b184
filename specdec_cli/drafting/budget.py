"""How large a tree pays: grow while the tokens that it should win pay for the seconds it takes.

A node's score is the draft's own log-probability of its path, so the sum of exp(score) over the tree is the
number of guesses that a target like the draft would accept; one token more comes with every pass. What passes
cost was measured. Chen et al. (2024), Sequoia, https://arxiv.org/abs/2402.12374, choose a size likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

PassSeconds = Callable[[int], float | None]


class TreeBudget:
    """Weighs the expected tokens of a tree against its time.

    Args:
        pass_seconds: what a target pass over so many rows takes; None while nothing is known.
    """

    def __init__(self, pass_seconds: PassSeconds) -> None:
        self._pass_seconds = pass_seconds

    def best_size(self, scores: Sequence[float], spent: float) -> int:
        """How many of the nodes, best first, give the most tokens a second.

        Args:
            scores: of the nodes, best first.
            spent: seconds that drafting them took.
        """
        best, best_rate, expected = 0, self._rate(0.0, 0, spent), 0.0
        for size, score in enumerate(scores, 1):
            expected += math.exp(score)
            rate = self._rate(expected, size, spent)
            if rate >= best_rate:
                best, best_rate = size, rate
        return best

    def another_level(
        self, scores: Sequence[float], frontier: Sequence[float], spent: float, draft_pass: float
    ) -> bool:
        """Whether a draft pass over the frontier could win more tokens a second than the tree does as it is.

        Args:
            scores: of the nodes so far, best first.
            frontier: of those that would be expanded: all of their probability is what children can win.
            spent: seconds of drafting so far.
            draft_pass: seconds that one more pass takes.
        """
        size = self.best_size(scores, spent)
        expected = sum(math.exp(score) for score in scores[:size])
        gain = sum(math.exp(score) for score in frontier)
        now = self._rate(expected, size, spent)
        return self._rate(expected + gain, size + len(frontier), spent + draft_pass) > now

    def _rate(self, expected: float, size: int, spent: float) -> float:
        """Tokens a second; the root is read with the tree. Without any cost known, tokens."""
        seconds = self._pass_seconds(size + 1)
        return 1 + expected if seconds is None else (1 + expected) / (spent + seconds)
