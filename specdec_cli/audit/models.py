"""The levels that need models: texts of real methods on a real pair, beside the target itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from specdec_cli.assembly import sampling_of
from specdec_cli.audit.greedy import GreedyCheck, check_gaps, gaps, noise
from specdec_cli.audit.statistical import StatisticalTest, compare_texts
from specdec_cli.sampling.distribution import distribution
from specdec_cli.session import Session
from specdec_cli.settings import Settings
from specdec_cli.verification.watched import Watched

Report = Callable[[str], None]
PLAIN_SEEDS = 2**32  # where the seeds of plain decoding begin, so that no two texts share their noise


@dataclass(frozen=True, slots=True)
class BoundCheck:
    """How near a method comes to what its guesses allow.

    Attributes:
        levels: of guesses that were judged.
        accepted: share of them of which a guess was accepted.
        bound: the most that any lossless verifier could expect on the same levels; None for coupled guesses,
            which have seen the target's noise.
        tokens_per_pass: of the texts.
    """

    levels: int
    accepted: float
    bound: float | None
    tokens_per_pass: float

    @property
    def share(self) -> float | None:
        """Of the bound that was reached."""
        return self.accepted / self.bound if self.bound else None


def statistical(
    session: Session, settings: Settings, prompt: str, samples: int, length: int, report: Report
) -> list[StatisticalTest]:
    """Draw many texts of one prompt and test them; see `audit.statistical`."""
    tokens = session.encode(prompt)
    settings = replace(settings, max_tokens=length, stop=())
    plain = replace(settings, method="autoregressive", verify="token", tree=None)
    texts: list[list[int]] = []
    others: list[list[int]] = []
    for number in range(samples):
        report(f"{settings.method}: text {number + 1} of {samples}")
        texts.append(_text(session, tokens, replace(settings, seed=settings.seed + number)))
        others.append(_text(session, tokens, replace(plain, seed=settings.seed + PLAIN_SEEDS + number)))
    law = distribution(session.logits(tokens, texts[0][:1], together=True)[0], sampling_of(settings))
    return compare_texts(texts, others, law.tolist())


def greedy(session: Session, settings: Settings, prompts: Sequence[str], report: Report) -> GreedyCheck:
    """Decode prompts at temperature 0 and force the target along what was emitted; see `audit.greedy`."""
    settings = replace(settings, temperature=0.0)
    found, most = [], 0.0
    for number, prompt in enumerate(prompts):
        report(f"{settings.method}: prompt {number + 1} of {len(prompts)}")
        tokens = session.encode(prompt)
        emitted = _text(session, tokens, settings)
        alone = session.logits(tokens, emitted, together=False)
        most = max(most, noise(session.logits(tokens, emitted, together=True), alone))
        found.append(gaps(alone, emitted))
    return check_gaps(torch.cat(found), most)


def bound(session: Session, settings: Settings, prompts: Sequence[str], report: Report) -> BoundCheck:
    """Decode prompts and compare what was accepted with the optimal-transport bound."""
    roles = session.roles(settings)
    watched = Watched(roles.verify)
    emitted = passes = 0
    for number, prompt in enumerate(prompts):
        report(f"{settings.method}: prompt {number + 1} of {len(prompts)}")
        for step in session.steps(session.encode(prompt), settings, replace(roles, verify=watched)):
            emitted += len(step.tokens)
            passes += 1
    levels = max(watched.levels, 1)
    possible = None if settings.coupled else watched.possible / levels
    return BoundCheck(watched.levels, watched.accepted / levels, possible, emitted / passes)


def _text(session: Session, prompt: Sequence[int], settings: Settings) -> list[int]:
    return [token for step in session.steps(prompt, settings) for token in step.tokens]
