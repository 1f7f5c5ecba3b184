"""The audit of the audit: planted bugs, and the levels at which each one is seen, on toys."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch

from specdec_cli.audit.enumeration import law_of_text
from specdec_cli.audit.exact import LENGTH, PLAIN, PROMPT, VOCAB_SIZE, check
from specdec_cli.audit.faults import FAULTS, Fault
from specdec_cli.audit.greedy import check_gaps, gaps
from specdec_cli.audit.statistical import compare_texts
from specdec_cli.audit.toys import SampledLaw, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.runtime.build import drafter_of, sampling_of, verifier_of
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.settings import Settings

LAWS = 3  # pairs of random laws: a fault may do no harm under one of them
TEXTS = 1000
GREEDY_TEXTS = 20
TOY_NOISE = 1e-9  # toys compute in float64, each row alone


@dataclass(frozen=True, slots=True)
class FaultVerdict:
    """What the audit made of one planted bug.

    Attributes:
        name: of the bug.
        method: that it befell.
        exact, statistical, greedy: whether that level saw it.
        innocent: whether every level passed the same method without the bug.
    """

    name: str
    method: str
    exact: bool
    statistical: bool
    greedy: bool
    innocent: bool

    @property
    def caught(self) -> bool:
        """Whether a level saw it, and none sees a bug where there is none."""
        return self.innocent and (self.exact or self.statistical or self.greedy)


def try_fault(fault: Fault, seed: int) -> FaultVerdict:
    """Put one bug before every level, and the intact method too, on several pairs of laws."""
    settings = replace(PLAIN, **fault.settings)  # type: ignore[arg-type]
    seeds = range(LAWS * seed, LAWS * (seed + 1))
    seen = [_levels(settings, fault, each) for each in seeds]
    alarms = [_levels(settings, Fault(fault.name, fault.settings), each) for each in seeds]
    exact, statistical, greedy = (any(level) for level in zip(*seen, strict=True))
    return FaultVerdict(
        name=fault.name,
        method=settings.method if settings.verify == "token" else f"{settings.method}, {settings.verify}",
        exact=exact,
        statistical=statistical,
        greedy=greedy,
        innocent=not any(any(levels) for levels in alarms),
    )


def self_test(seed: int) -> list[FaultVerdict]:
    """Every fault."""
    return [try_fault(fault, seed) for fault in FAULTS]


def _levels(settings: Settings, fault: Fault, seed: int) -> tuple[bool, bool, bool]:
    exact = not check(settings, seed, fault.damage, fault.chance).passed
    return exact, _statistical(settings, fault, seed), _greedy(settings, fault, seed)


def _statistical(settings: Settings, fault: Fault, seed: int) -> bool:
    """Whether samples of the toy's texts are told from samples of its law."""
    law = SampledLaw(VOCAB_SIZE, 2 * seed, sampling_of(settings))
    texts = [_text(settings, fault, law, seed, number, LENGTH) for number in range(TEXTS)]
    own = law_of_text(law, PROMPT, LENGTH)
    others = random.Random(seed).choices(list(own), list(own.values()), k=TEXTS)
    tests = compare_texts(texts, others, law(PROMPT).tolist())
    return not all(test.passed for test in tests)


def _greedy(settings: Settings, fault: Fault, seed: int) -> bool:
    """Whether teacher forcing finds a token that is not the toy's likeliest."""
    settings = replace(settings, temperature=0.0)
    law = SampledLaw(VOCAB_SIZE, 2 * seed, sampling_of(settings))
    plain = law.under(sampling_of(PLAIN))
    found = []
    for number in range(GREEDY_TEXTS):
        text = _text(settings, fault, law, seed, number, 4 * LENGTH)
        logits = torch.stack([plain([*PROMPT, *text[:done]]).log() for done in range(len(text))])
        found.append(gaps(logits, text))
    return not check_gaps(torch.cat(found), TOY_NOISE, TOY_NOISE).passed


def _text(
    settings: Settings, fault: Fault, law: SampledLaw, seed: int, number: int, length: int
) -> tuple[int, ...]:
    """One text, each step with the chance that the fault leaves it."""
    drafter = drafter_of(settings, VOCAB_SIZE, lambda _: ToyDraftModel(ToyLaw(VOCAB_SIZE, 2 * seed + 1)))
    roles = fault.damage(Roles(ToyTarget(law), drafter, verifier_of(settings)), settings)
    chance = fault.chance(SeededRandomness(number), len(PROMPT))
    steps = decode(PROMPT, roles, chance, Stopping(length))
    return tuple(token for step in steps for token in step.tokens)
