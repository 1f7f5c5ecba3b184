"""What an execution should cost: passes and seconds per token, from acceptance rates and the price of a pass.

The theory of Fu et al. (2025), Speculative Ensemble, https://arxiv.org/abs/2502.01662, theorems 3.1 and 3.6,
takes two models and guesses that are accepted independently. For any number of models and chains the same
assumption gives a process that is played through here, with coins instead of models.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PLAYED = 3000  # tokens: the error of a prediction is below two percent


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds of one member's pass: over one token, and for each further one.

    Attributes:
        first: seconds of a pass over a token.
        further: seconds that each more adds.
    """

    first: float
    further: float = 0.0

    def of(self, tokens: int) -> float:
        """Seconds of a pass over so many tokens."""
        return self.first + self.further * max(tokens - 1, 0)


def plain(prices: Sequence[Price]) -> float:
    """Seconds per token of `--exec plain`: every member is asked for every token."""
    return sum(price.first for price in prices)


def mixture(prices: Sequence[Price], weights: Sequence[float]) -> float:
    """Seconds per token of `--exec mixture`: one member, drawn by its weight, reads what it missed.

    Every token is read once by every member; what is saved are passes.
    """
    return sum(
        weight * price.first + (1 - weight) * price.further
        for price, weight in zip(prices, weights, strict=True)
    )


def one_proposer(prices: Sequence[Price], proposer: int, gamma: int, acceptance: float) -> float:
    """Seconds per token of `--exec sd`: one member proposes chains, all judge them, a full one gives a bonus.

    Args:
        prices: of each member's passes.
        proposer: index of the member that proposes.
        gamma: tokens in a chain.
        acceptance: chance that a guess is accepted.
    """
    full = acceptance**gamma
    tokens = gamma + 1 if acceptance == 1 else (1 - acceptance ** (gamma + 1)) / (1 - acceptance)
    own = prices[proposer].of(1) * (gamma + full)
    others = sum(price.of(gamma + 1) for index, price in enumerate(prices) if index != proposer)
    return (own + others) / tokens


def alternate_proposal(
    prices: Sequence[Price], gammas: Sequence[int], order: Sequence[int], acceptance: Sequence[float]
) -> float:
    """Seconds per token of `--exec chef`, whose members propose in turn, played through with coins.

    Args:
        prices: of each member's passes.
        gammas: tokens that each member proposes at a time.
        order: indices of the members in the order of their turns.
        acceptance: for each member, the chance that a guess of its is accepted.
    """
    coins = random.Random(0)
    accepts: Callable[[int], bool] = lambda owner: coins.random() < acceptance[owner]  # noqa: E731
    seconds, emitted, turn = 0.0, 0, 0
    guesses: list[tuple[int, int]] = []  # owner, and a bit for each member that has scored it
    unread = [1] * len(prices)
    everyone = (1 << len(prices)) - 1
    while emitted < PLAYED:
        member = order[turn]
        turn = (turn + 1) % len(order)
        seconds += prices[member].of(unread[member])
        unread[member] = 0
        guesses = [(owner, seen | 1 << member) for owner, seen in guesses]
        rejected = False
        while guesses and guesses[0][1] == everyone and not rejected:
            owner, _ = guesses.pop(0)
            emitted += 1
            rejected = not accepts(owner)
        if rejected:
            guesses, turn, unread = [], 0, [1] * len(prices)
            continue
        for number in range(gammas[member]):
            if number:
                seconds += prices[member].of(unread[member])
                unread[member] = 0
            guesses.append((member, 1 << member))
            unread = [count + 1 for count in unread]
    return seconds / emitted
