"""How many guesses of a tree a verifier is expected to accept: over its own chance, exactly."""

from __future__ import annotations

from torch import Tensor

from specdec_cli.audit.enumeration import PathRandomness
from specdec_cli.sampling.randomness import Key
from specdec_cli.tree import ROOT, TokenTree
from specdec_cli.verification.base import Rows, Verifier
from specdec_cli.verification.block import verify_block
from specdec_cli.verification.own_sample import follow_own_sample


class Remembered:
    """Rows that are computed once, however often they are looked at."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._known: dict[int, Tensor] = {}

    def __getitem__(self, row: int) -> Tensor:
        if row not in self._known:
            self._known[row] = self._rows[row]
        return self._known[row]


def expected_accepted(verifier: Verifier, tree: TokenTree, target: Rows) -> float:
    """The mean number of accepted guesses, given the tree and the target's distributions on it.

    Not for guesses that have seen the noise that the target will draw by (`--coupled`): given the tree, that
    noise is no longer free.
    """
    if not len(tree):
        return 0.0
    rows = Remembered(target)
    if verifier is follow_own_sample:
        return _foreseen(tree, rows)
    if verifier is verify_block:
        return _kept_of_block(tree, rows)
    return _by_enumeration(verifier, tree, rows)


def _foreseen(tree: TokenTree, target: Rows) -> float:
    """The target's own samples follow the tree: the sum over its nodes of their paths' probabilities."""
    reached = [0.0] * len(tree)
    taken: set[tuple[int, int]] = set()
    for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
        if (parent, token) not in taken:  # the walk never takes the later of two duplicates
            above = 1.0 if parent == ROOT else reached[parent]
            reached[node] = above * float(target[parent + 1][token]) if above else 0.0
        taken.add((parent, token))
    return sum(reached)


def _kept_of_block(tree: TokenTree, target: Rows) -> float:
    """Each prefix is kept or not by a coin of its own; the longest that is kept counts."""
    coins = _Coins()
    verify_block(tree, target, coins, 0)
    expected, left = 0.0, 1.0
    for length in range(len(tree), 0, -1):
        keep = min(1.0, max(0.0, coins.chances[length - 1]))
        expected += left * keep * length
        left *= 1 - keep
    return expected


def _by_enumeration(verifier: Verifier, tree: TokenTree, target: Rows) -> float:
    """Every way that the coins may fall; the last token's draw is left out, since it accepts nothing."""
    script: list[int] | None = []
    expected = 0.0
    while script is not None:
        randomness = _AcceptanceOnly(script)
        verdict = verifier(tree, target, randomness, 0)
        expected += randomness.weight * len(verdict.path)
        script = randomness.next_script()
    return expected


class _AcceptanceOnly(PathRandomness):
    """Walks the paths of the coins; the token that follows the accepted ones is any."""

    def categorical(self, probs: Tensor, key: Key) -> int:
        return 0


class _Coins(PathRandomness):
    """Notes what each coin's chance is, and lets it fail."""

    def __init__(self) -> None:
        super().__init__([])
        self.chances: list[float] = []

    def bernoulli(self, probability: float, key: Key) -> bool:
        self.chances.append(probability)
        return False

    def categorical(self, probs: Tensor, key: Key) -> int:
        return 0
