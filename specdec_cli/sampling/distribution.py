"""From logits to distributions: the only module that normalises, filters or takes a maximum.

Drafters, verifiers and baselines all come through here, so the distribution that is verified is the one
that was sampled. Top-k is of Fan et al. (2018), https://arxiv.org/abs/1805.04833, top-p (the nucleus) of
Holtzman et al. (2019), https://arxiv.org/abs/1904.09751, min-p of Nguyen et al. (2024),
https://arxiv.org/abs/2407.01082. Greedy decoding is the distribution that is certain of the likeliest token:
nobody else has a case for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.errors import NotFiniteError

NUCLEUS_GUESS = 512
LEAST_TEMPERATURE = 1e-30  # below it logits overflow in float32, and the distribution is certain anyway
BROKEN = (
    "Choose another --dtype (float32 overflows last), or copy the model again: its weights may be damaged."
)
UNUSABLE = "Choose less extreme settings: temperature, weights and --alpha scale what the models say."


@dataclass(frozen=True, slots=True)
class Sampling:
    """How logits become a distribution; the order is temperature, top-k, top-p, min-p.

    Attributes:
        temperature: divides the logits; 0 is greedy.
        top_k: keep the k likeliest tokens (and what ties with the last); 0 keeps all.
        top_p: keep the smallest set of likeliest tokens whose mass reaches this; 1 keeps all.
        min_p: keep tokens at least this share as likely as the likeliest; 0 keeps all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise ValueError(f"not a sampling: {self}")

    @property
    def is_greedy(self) -> bool:
        """Whether only the likeliest token has a chance."""
        return self.temperature < LEAST_TEMPERATURE


def require_finite(logits: Tensor, source: str, hint: str = BROKEN) -> None:
    """Refuse logits (..., V) that no distribution follows from.

    A token may be impossible (-inf), all of them may not, and none may be infinitely good or no number.

    Raises:
        NotFiniteError: naming the source.
    """
    # The greatest of a row is NaN if any entry is, and infinite if one is or all are impossible.
    if not _are_finite(logits.amax(-1)):
        raise NotFiniteError(f"{source} gave logits that are not finite numbers.", hint)


def distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """Distribution of the next token: (..., V) logits to (..., V) probabilities in float32 or float64.

    A row is the same bits whatever rows stand beside it.

    Raises:
        NotFiniteError: no distribution follows from the logits; see `require_finite`.
    """
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if sampling.is_greedy:
        best, token = scores.max(-1, keepdim=True)
        _require_numbers(best)
        return torch.zeros_like(scores).scatter_(-1, token, 1.0)
    probs = (scores / sampling.temperature).softmax(-1)
    if bool(probs[..., 0].isnan().any()):  # then the whole row is
        _require_numbers(scores.amax(-1))
        probs = _centred(scores, sampling.temperature).softmax(-1)
    if sampling.top_k and sampling.top_k < probs.shape[-1]:
        probs = _normalised(_keep_top_k(probs, sampling.top_k))
    if sampling.top_p < 1:
        probs = _normalised(_keep_nucleus(probs, sampling.top_p))
    if sampling.min_p > 0:
        floor = sampling.min_p * probs.amax(-1, keepdim=True)
        probs = _normalised(torch.where(probs >= floor, probs, 0))
    return probs


def likeliest(logits: Tensor, count: int, temperature: float) -> tuple[Tensor, Tensor]:
    """The `count` likeliest tokens of each row of logits (..., V), best first.

    Greedy decoding ranks by the model's plain distribution, since a certain one has no second choice.

    Returns:
        Log-probabilities at the temperature and ids, both (..., K), K = min(count, V).

    Raises:
        NotFiniteError: no distribution follows from the logits.
    """
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if temperature >= LEAST_TEMPERATURE and temperature != 1:
        scaled = scores / temperature
        scores = scaled if _are_finite(scaled.amax(-1)) else _centred(scores, temperature)
    _require_numbers(scores.amax(-1))
    tokens = scores.topk(min(count, scores.shape[-1]), dim=-1).indices
    return scores.log_softmax(-1).gather(-1, tokens), tokens


def entropy(probs: Tensor) -> float:
    """Entropy of a distribution (V,), in bits."""
    return float(torch.special.entr(probs.double()).sum()) / math.log(2)


def residual(target: Tensor, proposal: Tensor, scale: float = 1.0) -> Tensor:
    """The target's mass that the proposal left uncovered: max(scale * target - proposal, 0), normalised.

    Where nothing is left, the two were equal but for rounding and the target itself is returned; so it is
    where the proposal holds what is no number, and nothing can be taken off for it. Both (V,), to (V,).
    """
    return excess(target, proposal, scale)[0]


def excess(target: Tensor, proposal: Tensor, scale: float = 1.0) -> tuple[Tensor, float]:
    """`residual` (V,), and the mass of max(scale * target - proposal, 0) before it was normalised."""
    left = (scale * target - proposal).clamp_(min=0)
    mass = float(left.sum())
    return (left / mass if mass > 0 else target), mass


def _require_numbers(best: Tensor) -> None:
    """Refuse rows by the greatest of their scores (...)."""
    if not _are_finite(best):
        raise NotFiniteError("The logits, as they are combined here, are not finite numbers.", UNUSABLE)


def _are_finite(few: Tensor) -> bool:
    """Whether all of a few numbers are finite: in Python, which takes less time than two calls of torch."""
    return all(map(math.isfinite, few.flatten().tolist()))


def _centred(scores: Tensor, temperature: float) -> Tensor:
    """Scores at a temperature so low that they overflow, moved so that the best is 0."""
    return (scores - scores.amax(-1, keepdim=True)) / temperature


def _keep_top_k(probs: Tensor, count: int) -> Tensor:
    last = probs.topk(count, dim=-1).values[..., -1:]
    return torch.where(probs >= last, probs, 0)


def _keep_nucleus(probs: Tensor, mass: float) -> Tensor:
    """Zero everything outside the smallest set of likeliest tokens that holds `mass`."""
    vocab_size = probs.shape[-1]
    best, tokens = probs.topk(min(NUCLEUS_GUESS, vocab_size), dim=-1)
    kept = _within(probs, best, tokens, mass)
    flat = _row_sums(best) < mass
    if best.shape[-1] < vocab_size and bool(flat.any()):  # those are sorted as a whole, and no others:
        kept = torch.where(flat, _within(probs, *probs.sort(dim=-1, descending=True), mass), kept)
    return kept  # of tokens that tie, the two ways may keep different ones


def _within(probs: Tensor, best: Tensor, tokens: Tensor, mass: float) -> Tensor:
    """Zero all of probs (..., V) but the first of some likeliest tokens (..., K) that hold `mass`."""
    before = best.cumsum(-1) - best
    kept = torch.where(before < mass, best, 0)
    kept[..., 0] = best[..., 0]  # a mass that float32 has no number for keeps the likeliest
    return torch.zeros_like(probs).scatter_(-1, tokens, kept)


def _normalised(probs: Tensor) -> Tensor:
    return probs / _row_sums(probs)


def _row_sums(values: Tensor) -> Tensor:
    """Sums over the last dimension, (..., V) to (..., 1), on a CPU each row by a call of its own.

    There torch adds up a single long row in parts, one for each thread, but several rows each in one go, so a
    row's last bits would depend on whether others stand beside it.
    """
    if values.device.type != "cpu":
        return values.sum(-1, keepdim=True)
    rows = values.reshape(-1, values.shape[-1])
    sums = [values.new_empty(0), *(row.sum(-1, keepdim=True) for row in rows)]
    return torch.cat(sums).view(*values.shape[:-1], 1)


class Distributions:
    """Rows of logits that become distributions when they are asked for: index `i` to (V,).

    A verifier looks at the rows along one path of the tree, so most rows are never needed.

    Args:
        logits: (N, V).
        sampling: how they become distributions.
    """

    def __init__(self, logits: Tensor, sampling: Sampling) -> None:
        self._logits = logits
        self._sampling = sampling

    def __getitem__(self, row: int) -> Tensor:
        return distribution(self._logits[row], self._sampling)

    def plain(self, row: int) -> Tensor:
        """The model's own distribution there, at temperature 1 and unfiltered: (V,)."""
        return distribution(self._logits[row], Sampling())
