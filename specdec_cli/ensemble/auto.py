"""`--exec auto`: measure passes and acceptance on the prompt, predict every execution, take the fastest.

The law is the same whatever is chosen, so a wrong measurement costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from specdec_cli.ensemble import cost_model
from specdec_cli.ensemble.cost_model import Price
from specdec_cli.ensemble.execution import Execution, turns
from specdec_cli.ensemble.members import Ensemble, Reader
from specdec_cli.sampling.distribution import likeliest
from specdec_cli.tree import TokenTree

CHAINS = (1, 2, 3, 5, 8)  # proposal lengths that are considered for the first proposer
POSITIONS = 24  # of the prompt, at which acceptance is measured
TIMED = 3
WIDER = 5  # tokens in the wider of the two passes that are timed


@dataclass(frozen=True, slots=True)
class Prediction:
    """One execution and what it should cost.

    Attributes:
        execution: how.
        seconds: per token.
    """

    execution: Execution
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and why.

    Attributes:
        execution: the one that should be fastest.
        speedup: over plain decoding, as predicted.
        acceptance: for each member, how often its guesses would be accepted.
        prices: seconds of each member's pass.
        predictions: every execution that was considered, the best first.
    """

    execution: Execution
    speedup: float
    acceptance: tuple[float, ...]
    prices: tuple[Price, ...]
    predictions: tuple[Prediction, ...]

    def record(self) -> dict[str, object]:
        """The same for JSON."""
        return {
            "exec": self.execution.kind,
            "gammas": self.execution.gammas,
            "predicted_speedup": self.speedup,
            "acceptance": self.acceptance,
            "prices": [asdict(price) for price in self.prices],
            "predictions": [
                {"exec": each.execution.kind, "gammas": each.execution.gammas, "seconds": each.seconds}
                for each in self.predictions
            ],
        }

    def describe(self) -> str:
        """One sentence for the user."""
        gammas = f", proposing {':'.join(map(str, self.execution.gammas))}" if self.execution.gammas else ""
        rates = ", ".join(f"{rate:.0%}" for rate in self.acceptance)
        return (
            f"--exec auto chose {self.execution.kind}{gammas}: {self.speedup:.2f} times plain decoding's "
            f"speed is expected, where the models' guesses are accepted {rates} of the time."
        )


def choose(ensemble: Ensemble, prompt: Sequence[int]) -> Choice:
    """The execution that should be fastest on this machine, for texts like this prompt (token ids)."""
    prices, acceptance = measure(ensemble, prompt)
    plain = cost_model.plain(prices)
    found = sorted(predictions(ensemble, prices, acceptance), key=lambda each: each.seconds)
    best = found[0]
    return Choice(best.execution, plain / best.seconds, tuple(acceptance), tuple(prices), tuple(found))


def measure(ensemble: Ensemble, prompt: Sequence[int]) -> tuple[list[Price], list[float]]:
    """The price of each member's passes, and how often each would propose what the ensemble accepts.

    Acceptance is the mass that a member's own distribution shares with the ensemble's, 1 - TV, the mean over
    the last positions of the prompt.
    """
    told = max(len(prompt) - POSITIONS, 1)
    rest = TokenTree.chain(prompt[told:])
    prices, rows = [], []
    for member in ensemble.members:
        reader = member.reader
        reader.begin(prompt[:told])
        rows.append(reader.score(rest))
        prices.append(_price(ensemble, rows[-1][-1], reader))
    device = rows[0].device
    shared = [0.0] * len(rows)
    for position in range(len(rest) + 1):
        here = [row[position].to(device) for row in rows]
        law = ensemble.law(here)
        for number, row in enumerate(here):
            shared[number] += float(torch.minimum(law, ensemble.own(row).to(law)).sum())
    return prices, [min(total / (len(rest) + 1), 1.0) for total in shared]


def _price(ensemble: Ensemble, row: Tensor, reader: Reader) -> Price:
    """Seconds of a pass over one token, and of each further one, the median of a few."""
    token = int(likeliest(row[: ensemble.vocab_size], 1, 1.0)[1][0])
    narrow = _seconds(reader, TokenTree())
    wide = _seconds(reader, TokenTree.chain([token] * (WIDER - 1)))
    return Price(narrow, max(wide - narrow, 0.0) / (WIDER - 1))


def _seconds(reader: Reader, tree: TokenTree) -> float:
    times = []
    for _ in range(TIMED):
        begun = perf_counter()
        reader.score(tree)
        times.append(perf_counter() - begun)
    return median(times)


def predictions(ensemble: Ensemble, prices: Sequence[Price], acceptance: Sequence[float]) -> list[Prediction]:
    """Every execution that can be had, with what it should cost."""
    sizes, indices = [member.size for member in ensemble.members], range(len(prices))
    found = [Prediction(Execution("plain"), cost_model.plain(prices))]
    if len(prices) == 1:
        return found
    if ensemble.is_mixture and ensemble.weights is not None:
        found.append(Prediction(Execution("mixture"), cost_model.mixture(prices, ensemble.weights)))
    for first in indices:
        for gamma in CHAINS:
            alone = tuple(gamma if index == first else 0 for index in indices)
            seconds = cost_model.one_proposer(prices, first, gamma, acceptance[first])
            found.append(Prediction(Execution("sd", alone), seconds))
            gammas = tuple(gamma if index == first else 1 for index in indices)
            seconds = cost_model.alternate_proposal(prices, gammas, turns(gammas, sizes), acceptance)
            found.append(Prediction(Execution("chef", gammas), seconds))
    return found
