"""How often a draft is right on text that it never saw: what its speed-up follows from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.distillation.data_generation import Shard
from specdec_cli.distillation.students import Student
from specdec_cli.distillation.training import Batch, batch_of
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.divergence import overlap

TEMPERATURES = (0.0, 0.6, 1.0)
RANKS = 8  # choices of the draft that are looked at
AT_ONCE = 4  # texts; their logits over the whole vocabulary are large


@dataclass(frozen=True, slots=True)
class AcceptanceProfile:
    """How often a draft is right, in teacher-forced answers it never saw.

    Attributes:
        accepted: by temperature, the chance that a sample of the draft is accepted, for the first, second,
            ... guess in a row.
        ranks: by temperature, the target's mean probability of the draft's likeliest, second likeliest, ...
            token, over all guesses in a row.
        positions: that were looked at.
    """

    accepted: Mapping[float, tuple[float, ...]]
    ranks: Mapping[float, tuple[float, ...]]
    positions: int

    def tokens_per_pass(self, temperature: float, gamma: int) -> float:
        """Expected of a chain of gamma samples; guesses deeper than was measured count as the deepest."""
        accepted = self.accepted[temperature]
        total, alive = 1.0, 1.0
        for depth in range(gamma):
            alive *= accepted[min(depth, len(accepted) - 1)]
            total += alive
        return total

    def as_dict(self) -> dict[str, object]:
        """For a report."""
        return {
            "positions": self.positions,
            "accepted": {str(temperature): list(shares) for temperature, shares in self.accepted.items()},
            "ranks": {str(temperature): list(shares) for temperature, shares in self.ranks.items()},
        }


@torch.no_grad()
def measure_acceptance(
    student: Student, output: Tensor, shard: Shard, depth: int, device: torch.device
) -> AcceptanceProfile:
    """How often a student is right on the answers of a held-out shard, or all of it if it holds none.

    Args:
        student: the draft.
        output: (V, hidden) the target's output layer.
        shard: the texts.
        depth: guesses in a row that are looked at.
        device: where the student is.
    """
    batch = batch_of(shard)
    chances: dict[tuple[float, int], Tensor] = defaultdict(lambda: torch.zeros(()))
    by_rank: dict[tuple[float, int], Tensor] = defaultdict(lambda: torch.zeros(RANKS))
    positions, answers = 0, bool(batch.answers.any())
    for first in range(0, len(batch.tokens), AT_ONCE):
        part = Batch(*(getattr(batch, name)[first : first + AT_ONCE].to(device) for name in Batch.__slots__))
        kept = part.answers if answers else part.learnt
        target = part.features[kept] @ output.float().T
        positions += len(target)
        for step, hidden in enumerate(student.outputs(part.tokens, part.features, depth)):
            draft = student.output(hidden[kept])
            for temperature in TEMPERATURES:
                chance, masses = _agreed(target, draft, Sampling(temperature))
                key = temperature, step
                chances[key], by_rank[key] = chances[key] + chance.cpu(), by_rank[key] + masses.cpu()
    steps = range(1 + max(step for _, step in chances))
    total = max(positions, 1)
    accepted, ranks = {}, {}
    for each in TEMPERATURES:
        accepted[each] = tuple(float(chances[each, step]) / total for step in steps)
        summed = sum((by_rank[each, step] for step in steps), torch.zeros(RANKS))
        ranks[each] = tuple((summed / (len(steps) * total)).tolist())
    return AcceptanceProfile(accepted, ranks, positions)


def _agreed(target: Tensor, draft: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Sums over rows of (n, V) logits: chances of acceptance, and the target's mass by the draft's ranks."""
    law = distribution(target, sampling)
    best = draft.topk(RANKS, dim=-1).indices
    return overlap(law, distribution(draft, sampling)).sum(), law.gather(-1, best).sum(0)
