"""The levels that need models: texts of real methods on a real pair, beside the target itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from specdec_cli.audit.acceptance_bound import AcceptanceCounter
from specdec_cli.audit.greedy import (
    CEILINGS,
    BitCheck,
    GreedyCheck,
    check_bits,
    check_gaps,
    chosen,
    gaps,
    moved,
    noise,
)
from specdec_cli.audit.statistical import StatisticalTest, compare_texts
from specdec_cli.engine.observation import observed
from specdec_cli.progress import Report
from specdec_cli.registry.methods import METHODS, PLAIN
from specdec_cli.runtime.build import sampling_of
from specdec_cli.runtime.promise import BITWISE
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.settings import Settings

AHEAD = 64  # tokens, deeper than the trees that are in use
EDGE = 0.01
PLAIN_SEEDS = 2**32  # where the seeds of plain decoding begin, so that no two texts share their noise


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much level statistical is to do.

    Attributes:
        samples: texts of each method.
        length: of these, in tokens.
        methods: that are tested in the same audit.
    """

    samples: int
    length: int
    methods: int


@dataclass(frozen=True, slots=True)
class BoundCheck:
    """How near a method comes to what its guesses allow.

    Attributes:
        levels: of guesses that were judged.
        accepted: share of them of which a guess was accepted.
        bound: the most that any lossless verifier could expect on the same levels; None where there is no
            formula: coupled guesses have seen the target's noise, and a verifier that looks below a level
            before it judges it is bound by the whole tree only.
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


def plain_texts(
    session: Session, settings: Settings, prompt: str, size: Sizes, report: Report
) -> list[list[int]]:
    """Texts of plain decoding, of other seeds than any method's."""
    plain = replace(settings, method=PLAIN, verify="token", tree=None, stop=())
    tokens = session.encode(prompt)
    texts = []
    for number in range(size.samples):
        report(f"Plain decoding: text {number + 1} of {size.samples}")
        seed = settings.seed + PLAIN_SEEDS + number
        texts.append(_text(session, tokens, replace(plain, seed=seed, max_tokens=size.length)))
    return texts


def statistical(
    session: Session,
    settings: Settings,
    prompt: str,
    plain: Sequence[Sequence[int]],
    size: Sizes,
    report: Report,
) -> list[StatisticalTest]:
    """Draw many texts of one prompt and test them beside plain decoding's; see `audit.statistical`."""
    tokens = session.encode(prompt)
    # A draft may look as far ahead as it would in a long text; what it emits beyond `length` is not compared.
    settings = replace(settings, max_tokens=size.length + AHEAD, stop=())
    texts = []
    for number in range(size.samples):
        report(f"{settings.method}: text {number + 1} of {size.samples}")
        texts.append(_text(session, tokens, replace(settings, seed=settings.seed + number), size.length))
    logits = session.logits(tokens, texts[0][:1])[0]
    sampling = sampling_of(settings)
    law = distribution(logits, sampling)
    relaxed = law if session.runner().bitwise else distribution(logits, _relaxed(sampling))
    return compare_texts(texts, plain, law.tolist(), (relaxed > 0).tolist(), size.methods)


def _relaxed(sampling: Sampling) -> Sampling:
    """A little more than the filters let through: passes of other shapes may round a token over the edge."""
    return Sampling(
        sampling.temperature,
        sampling.top_k + 1 if sampling.top_k else 0,
        min(1.0, sampling.top_p + EDGE),
        sampling.min_p * (1 - EDGE),
    )


def greedy(
    session: Session,
    settings: Settings,
    prompts: Sequence[str],
    seeded: tuple[int, int],
    report: Report,
) -> GreedyCheck:
    """Decode prompts at temperature 0 and force the target along what was emitted; see `audit.greedy`.

    Args:
        session: with the target.
        settings: of the method.
        prompts: to decode.
        seeded: what `parted_texts` says of the method, where the target promises the same bits.
        report: told what is going on.
    """
    settings = replace(settings, temperature=0.0)
    found, moves, best, other_bits = [], [], 0, 0
    for number, prompt in enumerate(prompts):
        report(f"{settings.method}: prompt {number + 1} of {len(prompts)}")
        tokens = session.encode(prompt)
        emitted = _text(session, tokens, settings)
        alone = session.logits(tokens, emitted, together=False)
        together = session.logits(tokens, emitted)
        moves.append(noise(together, alone))
        found.append(gaps(alone, emitted))
        best += chosen(alone, emitted)
        other_bits += moved(together, alone)
    most = max(moves) if all(map(math.isfinite, moves)) else math.inf
    check = check_gaps(torch.cat(found), most, CEILINGS.get(session.target.dtype, 1e-2))
    exact = session.identical(settings) == BITWISE
    return check_bits(check, best, BitCheck(other_bits, *seeded)) if exact else check


def seeded_texts(
    session: Session, settings: Settings, prompts: Sequence[str], report: Report
) -> list[list[int]]:
    """A text of each prompt by plain decoding with the settings' seed; none where bits are not promised."""
    plain = replace(settings, method=PLAIN, verify="token", tree=None, hub_above=0.0, coupled=False)
    if session.identical(plain) != BITWISE:
        return []
    report("Plain decoding, seeded")
    return [_text(session, session.encode(prompt), plain) for prompt in prompts]


def parted_texts(
    session: Session,
    settings: Settings,
    prompts: Sequence[str],
    plain: Sequence[Sequence[int]],
    report: Report,
) -> tuple[int, int]:
    """How many texts of a method were compared with plain decoding's of the same seed, and are others.

    None are where the method's text is not promised to be that one, or is plain decoding's own.
    """
    if session.identical(settings) != BITWISE or METHODS[settings.method].is_plain:
        return 0, 0
    report(f"{settings.method}, seeded")
    texts = [_text(session, session.encode(prompt), settings) for prompt in prompts[: len(plain)]]
    return len(texts), sum(text != other for text, other in zip(texts, plain, strict=True))


def bound(session: Session, settings: Settings, prompts: Sequence[str], report: Report) -> BoundCheck:
    """Decode prompts and compare what was accepted with the optimal-transport bound."""
    roles = session.roles(settings)
    counter = AcceptanceCounter()
    emitted = passes = 0
    for number, prompt in enumerate(prompts):
        report(f"{settings.method}: prompt {number + 1} of {len(prompts)}")
        for step, view in observed(roles, partial(session.steps, session.encode(prompt), settings)):
            counter.add(view)
            emitted += len(step.tokens)
            passes += 1
    levels = max(counter.levels, 1)
    known = counter.possible is not None and settings.verify == "token" and not settings.coupled
    possible = counter.possible / levels if known and counter.possible is not None else None
    return BoundCheck(counter.levels, counter.accepted / levels, possible, emitted / passes)


def _text(
    session: Session, prompt: Sequence[int], settings: Settings, length: int | None = None
) -> list[int]:
    """The tokens of a text, or as many of its steps as it takes to have `length`."""
    emitted: list[int] = []
    for step in session.steps(prompt, settings):
        emitted += step.tokens
        if length is not None and len(emitted) >= length:
            return emitted[:length]
    return emitted
