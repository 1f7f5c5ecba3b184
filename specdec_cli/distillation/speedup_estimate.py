"""The speed-up to expect of a draft on this machine, from measured costs of passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from specdec_cli.benchmarking.acceptance import measure_costs
from specdec_cli.distillation.acceptance import AcceptanceProfile
from specdec_cli.drafting.planning import best_plan
from specdec_cli.progress import Report
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

SIZES = (1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33)  # tokens in a target pass
DEEPEST = 8


@dataclass(frozen=True, slots=True)
class SpeedupEstimate:
    """What to expect at one temperature.

    Attributes:
        gamma: the best length of a chain; 0 where it is best not to speculate.
        chain_tokens_per_pass: expected of it.
        chain_speed_up: expected of it, against plain decoding.
        budget: nodes of the best tree of the draft's likeliest tokens; 0 likewise.
        tree_tokens_per_pass: expected of it.
        tree_speed_up: expected of it.
    """

    gamma: int
    chain_tokens_per_pass: float
    chain_speed_up: float
    budget: int
    tree_tokens_per_pass: float
    tree_speed_up: float


@dataclass(frozen=True, slots=True)
class SpeedupReport:
    """What a draft costs here, and what to expect of it.

    Attributes:
        draft_pass: seconds of a draft pass.
        target_pass: seconds of a target pass over one token.
        estimates: of what follows, by temperature.
    """

    draft_pass: float
    target_pass: float
    estimates: Mapping[float, SpeedupEstimate]

    @property
    def relative_cost(self) -> float:
        """Draft pass / target pass."""
        return self.draft_pass / self.target_pass

    def as_dict(self) -> dict[str, object]:
        """For JSON, under the names that it has there."""
        return {
            "draft_pass": self.draft_pass,
            "target_pass": self.target_pass,
            "promises": {temperature: asdict(each) for temperature, each in self.estimates.items()},
        }


def estimate_speedup(
    session: Session, settings: Settings, acceptance: AcceptanceProfile, report: Report
) -> SpeedupReport:
    """Measure passes and weigh them against how often the draft is right.

    Args:
        session: with the draft loaded.
        settings: of a method that drafts with it.
        acceptance: how often the draft is right.
        report: is told what is going on.
    """
    costs = measure_costs(session, settings, SIZES, report)
    estimates = {
        temperature: _estimate(acceptance, temperature, costs.pass_seconds, costs.draft_seconds)
        for temperature in acceptance.accepted
    }
    return SpeedupReport(costs.draft_seconds, costs.pass_seconds[1], estimates)


def _estimate(
    acceptance: AcceptanceProfile, temperature: float, passes: Mapping[int, float], draft: float
) -> SpeedupEstimate:
    plain = passes[1]
    chains = {
        gamma: acceptance.tokens_per_pass(temperature, gamma) / (_between(passes, gamma + 1) + gamma * draft)
        for gamma in range(DEEPEST + 1)
    }
    gamma = max(chains, key=lambda each: chains[each])
    plan = best_plan(acceptance.ranks[temperature], SIZES[-1] - 1, DEEPEST, passes, draft)
    assert plan.seconds is not None
    return SpeedupEstimate(
        gamma,
        acceptance.tokens_per_pass(temperature, gamma),
        chains[gamma] * plain,
        len(plan.tree.parents),
        plan.tokens_per_pass,
        plan.tokens_per_pass * plain / plan.seconds,
    )


def _between(passes: Mapping[int, float], size: int) -> float:
    """The time of a pass, interpolated between measured sizes."""
    below = max(known for known in passes if known <= size)
    above = min(known for known in passes if known >= size)
    if below == above:
        return passes[size]
    share = (size - below) / (above - below)
    return passes[below] + share * (passes[above] - passes[below])
