"""Level exact: the law of a text out of the engine's loop, beside the target's own, by enumeration on toys.

The drafter and the verifier are the ones that a run with the same settings would get; only the models are
toys with a vocabulary of three tokens and a law known for every text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from specdec_cli.audit.ensembles import ensemble_cases, ensemble_distance
from specdec_cli.audit.enumeration import EXACT, Law, distance, law_of, law_of_text
from specdec_cli.audit.toys import SampledLaw, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.registry.drafts import NGRAM, NGRAM_FIRST
from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.methods import PLAIN as AUTOREGRESSIVE
from specdec_cli.runtime.build import VERIFIERS, drafter_of, sampling_of, verifier_of
from specdec_cli.sampling.randomness import Randomness, SeededRandomness
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.settings.ensembles import combiner_name
from specdec_cli.verification.kseq import verify_kseq

VOCAB_SIZE = 3
PROMPT = (0, 1, 0)
LENGTH = 3
SEEDS = 200
TREES = ("1x1", "2^2", "2x1", "[-1, -1, 0, 0]", "3x1", "2^3")
WHOLE = ("1x1", "2^2")  # small enough to walk every path through a whole text as well
PLAIN = Settings(temperature=1.0, draft="toy", gamma=2, max_budget=4, max_n_beams=2, max_beam_len=3,
                 max_branch_width=2)  # fmt: skip
Damage = Callable[[Roles, Settings], Roles]
Chance = Callable[[Randomness, int], Randomness]


def intact(roles: Roles, settings: Settings) -> Roles:
    """The roles as they are."""
    return roles


def fresh(randomness: Randomness, position: int) -> Randomness:
    """The randomness as it is, for a step that begins at `position`."""
    return randomness


@dataclass(frozen=True, slots=True)
class ExactCheck:
    """One method on one pair of toys.

    Attributes:
        method, verify, tree: what was checked; no tree where the method takes none.
        sampling: in words.
        paths: of chance that were walked.
        distance: total variation distance of the law of the text from the target's.
        error: what stopped the check, if something did.
    """

    method: str
    verify: str
    tree: str | None
    sampling: str
    paths: int
    distance: float
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the law is the target's."""
        return self.error is None and self.distance < EXACT


def cases(methods: Sequence[str]) -> Iterator[Settings]:
    """Settings that cover each method, each verifier that it takes, and each shape of tree."""
    for name in methods:
        method = METHODS[name]
        if method.is_ensemble:
            yield from ensemble_cases(name)
            continue
        draft = NGRAM if method.drafter == NGRAM else PLAIN.draft
        for verify in method.verify:
            for tree in _trees(name):
                settings = replace(PLAIN, method=name, verify=verify, tree=tree, draft=draft)
                yield settings
                if method.may_copy_first:
                    yield replace(settings, draft=f"{NGRAM_FIRST}{PLAIN.draft}", ngram_size=1)
                if tree in (None, "2^2"):
                    yield replace(settings, temperature=0.7, top_p=0.8)
            if method.has_hubs:
                yield replace(PLAIN, method=name, verify=verify, tree="2x1", hub_above=0.45)


def _trees(name: str) -> Sequence[str | None]:
    method = METHODS[name]
    if not method.takes_tree:
        return (None,)
    # K-SEQ tosses a coin for each duplicate too: the deepest trees have more paths than are worth walking.
    tosses = VERIFIERS[method.verify["token"]] is verify_kseq
    deep = ("2^3", "3x1") if tosses else ()
    return [tree for tree in TREES if tree not in deep]


def check(settings: Settings, seed: int, damage: Damage = intact, chance: Chance = fresh) -> ExactCheck:
    """Compare the law of a text under these settings with the target's, for fresh random laws."""
    if METHODS[settings.method].is_ensemble:
        return _check_ensemble(settings, seed)
    sampling = sampling_of(settings)
    target_law = SampledLaw(VOCAB_SIZE, 2 * seed, sampling)
    draft_law = ToyLaw(VOCAB_SIZE, 2 * seed + 1)
    walk = _Walk(settings, target_law, draft_law, damage, chance)
    error, worst = None, 0.0
    try:
        own = law_of_text(target_law, PROMPT, LENGTH)
        worst = distance(walk.composed(), own)
        if settings.tree is None or settings.tree in WHOLE:
            worst = max(worst, distance(walk.whole(), own))
    except Exception as failure:  # whatever a broken method does, it is broken
        error = f"{type(failure).__name__}: {failure}"
    return ExactCheck(
        method=_title(settings),
        verify=settings.verify,
        tree=settings.tree,
        sampling=_words(settings),
        paths=walk.paths,
        distance=worst,
        error=error,
    )


def _check_ensemble(settings: Settings, seed: int) -> ExactCheck:
    """Compare the law of a text out of an ensemble of toys with the one that it declares."""
    error, worst, paths = None, 0.0, 0
    try:
        worst, paths = ensemble_distance(settings, seed)
    except Exception as failure:  # as in `check`
        error = f"{type(failure).__name__}: {failure}"
    law = f"{combiner_name(settings)} of {len(settings.models)}, {settings.exec}"
    return ExactCheck(
        method=f"{settings.method}: {law}",
        verify=settings.verify,
        tree=":".join(map(str, settings.gammas)) or None,
        sampling=_words(settings),
        paths=paths,
        distance=worst,
        error=error,
    )


def _title(settings: Settings) -> str:
    """The method, and what is special about its guesses."""
    draft = resolve_draft(settings)
    copying = ", n-grams first" if draft is not None and draft.ngram_first else ""
    return settings.method + copying + (", coupled" if settings.coupled else "")


def same_text(settings: Settings, seed: int) -> ExactCheck:
    """Compare a method that emits the target's own sample with plain decoding, seed by seed."""
    target_law, draft_law = (
        SampledLaw(VOCAB_SIZE, 2 * seed, sampling_of(settings)),
        ToyLaw(VOCAB_SIZE, 2 * seed + 1),
    )
    plain = replace(settings, method=AUTOREGRESSIVE, coupled=False)
    differ = 0
    for number in range(SEEDS):
        texts = [
            _text(_roles(each, target_law, draft_law, intact), SeededRandomness(number), LENGTH)
            for each in (settings, plain)
        ]
        differ += texts[0] != texts[1]
    return ExactCheck(
        _title(settings),
        settings.verify,
        None,
        f"{_words(settings)}, {SEEDS} seeds",
        SEEDS,
        differ / SEEDS,
    )


class _Walk:
    """All paths of chance through texts under some settings."""

    def __init__(
        self,
        settings: Settings,
        target_law: SampledLaw,
        draft_law: ToyLaw,
        damage: Damage,
        chance: Chance,
    ) -> None:
        self.settings = settings
        self.target_law = target_law
        self.draft_law = draft_law
        self.damage = damage
        self.chance = chance
        self.paths = 0

    def whole(self) -> Law:
        """The law of a text by walking every path through all of its steps at once."""

        def program(randomness: Randomness) -> tuple[int, ...]:
            self.paths += 1
            roles = _roles(self.settings, self.target_law, self.draft_law, self.damage)
            return _text(roles, self.chance(randomness, len(PROMPT)), LENGTH)

        return law_of(program)

    def composed(self) -> Law:
        """The same by walking each step from each text that may stand before it: many fewer paths."""
        law: Law = {}
        waiting: Law = {(): 1.0}
        while waiting:
            text = min(waiting, key=len)
            weight = waiting.pop(text)
            if len(text) == LENGTH:
                law[text] = law.get(text, 0.0) + weight
                continue
            for emitted, probability in self._step((*PROMPT, *text), LENGTH - len(text)).items():
                longer = (*text, *emitted)
                waiting[longer] = waiting.get(longer, 0.0) + weight * probability
        return law

    def _step(self, before: tuple[int, ...], remaining: int) -> Law:
        def program(randomness: Randomness) -> tuple[int, ...]:
            self.paths += 1
            roles = _roles(self.settings, self.target_law, self.draft_law, self.damage)
            chance = self.chance(randomness, len(before))
            return next(iter(decode(before, roles, chance, Stopping(remaining)))).tokens

        return law_of(program)


def _roles(settings: Settings, target_law: SampledLaw, draft_law: ToyLaw, damage: Damage) -> Roles:
    drafter = drafter_of(settings, VOCAB_SIZE, lambda _: ToyDraftModel(draft_law))
    return damage(Roles(ToyTarget(target_law), drafter, verifier_of(settings)), settings)


def _text(roles: Roles, randomness: Randomness, length: int) -> tuple[int, ...]:
    steps = decode(PROMPT, roles, randomness, Stopping(length))
    return tuple(token for step in steps for token in step.tokens)


def _words(settings: Settings) -> str:
    words = f"temperature {settings.temperature:g}"
    if settings.ensemble_target is not None:
        words += f", {settings.ensemble_target}"
    if settings.plausibility > 0:
        words += f", plausibility {settings.plausibility:g}"
    if settings.top_p < 1:
        words += f", top-p {settings.top_p:g}"
    if settings.hub_above > 0:
        words += f", hub above {settings.hub_above:g}"
    return words
