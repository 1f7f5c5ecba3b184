"""What a static tree is planned from: how often each child is the accepted one, and what passes cost here.

Chen et al. (2024), Sequoia, https://arxiv.org/abs/2402.12374.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from torch import Tensor

from specdec_cli.drafting.policies.base import Draws
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.errors import InputError
from specdec_cli.progress import Report
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.registry.methods import PLAIN
from specdec_cli.runtime.build import policy_of, sampling_of
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.distribution import distribution, residual
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.tree import TokenTree

CHILDREN = 8  # siblings that are measured: later ones are accepted too rarely to plan with
TIMED = 5


@dataclass(frozen=True, slots=True)
class Costs:
    """What passes cost on this machine.

    Attributes:
        pass_seconds: median time of a target pass, by its number of tokens.
        draft_seconds: median time of a draft pass over a few nodes.
    """

    pass_seconds: dict[int, float]
    draft_seconds: float


def measure_acceptance(
    session: Session, settings: Settings, prompts: Sequence[str], report: Report
) -> list[float]:
    """How often the first, second, ... child of a node is the accepted one under a method's policy.

    The target continues each prompt; at every position the policy draws children from the draft, and what
    counts is the exact chance of each to be accepted by recursive rejection, not a coin.
    """
    asked = _draft_of(settings)
    totals = np.zeros(CHILDREN)
    positions = 0
    for number, prompt in enumerate(prompts):
        report(f"Measuring acceptance: prompt {number + 1} of {len(prompts)}")
        target, draft = _distributions(session, settings, asked, prompt)
        rows = range(len(target))
        draws = Draws(SeededRandomness(settings.seed), number, positions, [CHILDREN * row for row in rows])
        children = policy_of(settings)(draft, CHILDREN, draws)
        for row in rows:
            kept = [sibling for sibling in range(children.tokens.shape[-1]) if children.exists[row, sibling]]
            proposals = [_proposal(children.proposals[s], children.tokens, row, s, target) for s in kept]
            totals[kept] += _chances(target[row], children.tokens[row, kept].tolist(), proposals)
        positions += len(target)
    return [float(share) for share in totals / max(positions, 1)]


def _distributions(
    session: Session, settings: Settings, draft: DraftSpec, prompt: str
) -> tuple[Tensor, Tensor]:
    """The target's and the draft's distributions (n, V) before each of the n tokens that the target says."""
    plain = replace(settings, method=PLAIN, verify="token", tree=None)
    tokens = session.encode(prompt)
    text = [token for step in session.steps(tokens, plain) for token in step.tokens]
    target = distribution(session.logits(tokens, text), sampling_of(settings))
    logits = DraftVocabulary(None, target.shape[-1]).wide(session.logits(tokens, text, draft=draft))
    return target, distribution(logits, sampling_of(settings)).to(target)


def measure_costs(session: Session, settings: Settings, sizes: Sequence[int], report: Report) -> Costs:
    """Time passes over the given numbers of tokens, and a draft pass."""
    prompt = session.encode("Say something.")
    target, draft = session.runner(), session.runner(_draft_of(settings))
    target.begin(prompt)
    draft.begin(prompt)
    passes = {}
    for size in sizes:
        report(f"Timing a pass over {size} tokens")
        tree = TokenTree((prompt[-1],) * (size - 1), tuple((node - 1) // 2 for node in range(size - 1)))
        passes[size] = _median_seconds(lambda tree=tree: target.score(tree))  # type: ignore[misc]
    few = [prompt[-1]] * 4

    def draft_pass() -> None:
        draft.root()
        draft.grow(few, [-1] * len(few))

    return Costs(passes, _median_seconds(draft_pass) / 2)


def _draft_of(settings: Settings) -> DraftSpec:
    draft = resolve_draft(settings)
    if draft is None:
        raise InputError(f"The method {settings.method} drafts nothing.", "Choose one that takes --tree.")
    return draft


def _proposal(column: Tensor | None, tokens: Tensor, row: int, sibling: int, like: Tensor) -> Tensor:
    if column is not None:
        return column[row]
    certain = torch.zeros_like(like[row])
    certain[tokens[row, sibling]] = 1
    return certain


def _chances(target: Tensor, tokens: Sequence[int], proposals: Sequence[Tensor]) -> list[float]:
    """The chance of each sibling to be the accepted one, given all of them."""
    left, remaining = 1.0, target
    chances = []
    for token, proposal in zip(tokens, proposals, strict=True):
        chance = left * min(1.0, float(remaining[token]) / float(proposal[token]))
        chances.append(chance)
        left -= chance
        remaining = residual(remaining, proposal)
    return chances


def _median_seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return median(times)
