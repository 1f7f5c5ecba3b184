"""An audit from plan to result: which levels, which methods, on which models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from specdec_cli.audit import models
from specdec_cli.audit.exact import ExactCheck, cases, check, same_text
from specdec_cli.audit.greedy import GreedyCheck
from specdec_cli.audit.models import BoundCheck
from specdec_cli.audit.self_test import FaultVerdict, self_test
from specdec_cli.audit.statistical import StatisticalTest
from specdec_cli.errors import InputError
from specdec_cli.progress import Report
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.preflight import preflight_drafts
from specdec_cli.runtime.promise import Promise
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

SEEDED = 2  # prompts whose seeded texts level greedy compares bit for bit
SAMPLED = 1.0  # temperature of level statistical where the settings are greedy: then there is a law to test


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What to check.

    Attributes:
        settings: of the models, the sampling and the methods.
        levels: "exact", "statistical", "greedy"; may be empty.
        exact_methods: names in `METHODS`, for level exact.
        methods: the same for what needs models.
        every_verifier: whether each method is checked under all verifiers that it takes.
        bound: whether to compare acceptance with what is possible.
        self_test: whether to plant bugs.
        prompts: for the levels that need models; level statistical takes the first.
        samples: texts at level statistical.
        length: of these, in tokens.
    """

    settings: Settings
    levels: Sequence[str]
    exact_methods: Sequence[str]
    methods: Sequence[str]
    every_verifier: bool
    bound: bool
    self_test: bool
    prompts: Sequence[str]
    samples: int
    length: int

    @property
    def needs_models(self) -> bool:
        """Whether anything but toys is asked for."""
        return self.bound or any(level != "exact" for level in self.levels)

    def settings_of(self) -> dict[str, Settings]:
        """The settings of everything that is checked on models, by name.

        A method keeps what it takes of the settings' verifier, tree, hubs and coupling, and has its own
        elsewhere.
        """
        found = {}
        for method in self.methods:
            known, asked = METHODS[method], self.settings
            verifiers = list(known.verify)
            if not self.every_verifier:
                verifiers = [asked.verify if asked.verify in known.verify else verifiers[0]]
            for verify in verifiers:
                name = method if verify == verifiers[0] and self.every_verifier else f"{method}, {verify}"
                found[name] = replace(
                    asked,
                    method=method,
                    verify=verify,
                    tree=asked.tree if known.takes_tree else None,
                    hub_above=asked.hub_above if known.has_hubs else 0.0,
                    coupled=asked.coupled and known.ranks_guesses,
                )
        return found


@dataclass(slots=True)
class AuditResult:
    """What was found, by level; empty where nothing was asked."""

    exact: list[ExactCheck] = field(default_factory=list)
    statistical: dict[str, list[StatisticalTest]] = field(default_factory=dict)
    greedy: dict[str, GreedyCheck] = field(default_factory=dict)
    bound: dict[str, BoundCheck] = field(default_factory=dict)
    self_test: list[FaultVerdict] = field(default_factory=list)
    models: dict[str, object] | None = None
    identical: dict[str, Promise | None] = field(default_factory=dict)  # at the settings' temperature
    warnings: list[str] = field(default_factory=list)
    temperature: float = SAMPLED  # of level statistical and of the bound

    @property
    def checked(self) -> bool:
        """Whether anything was checked that could have failed."""
        return bool(self.exact or self.statistical or self.greedy or self.self_test)

    @property
    def passed(self) -> bool:
        """Whether every check passed and every planted bug was caught."""
        return (
            all(each.passed for each in self.exact)
            and all(test.passed for tests in self.statistical.values() for test in tests)
            and all(each.passed for each in self.greedy.values())
            and all(each.caught for each in self.self_test)
        )


def run(plan: AuditPlan, report: Report) -> AuditResult:
    """Do what the plan says.

    Raises:
        SpecdecError: a model cannot be had, or a setting is of no use.
    """
    result = AuditResult()
    if plan.self_test:
        report("Planting bugs")
        result.self_test = self_test(0)  # on laws that are known to be harmed by each bug
    if "exact" in plan.levels:
        result.exact = list(_exact(plan, report))
    if plan.needs_models:
        _on_models(plan, result, report)
    return result


def _exact(plan: AuditPlan, report: Report) -> list[ExactCheck]:
    checks = []
    for settings in cases(plan.exact_methods):
        report(f"Exact: {settings.method}, {settings.verify}, {settings.tree or 'its own tree'}")
        checks.append(check(settings, plan.settings.seed))
        method = METHODS[settings.method]
        if method.emits_own_sample and not method.is_plain:
            checks.append(same_text(settings, plan.settings.seed))
        if method.ranks_guesses:
            checks.append(same_text(replace(settings, coupled=True), plan.settings.seed))
    return checks


def _on_models(plan: AuditPlan, result: AuditResult, report: Report) -> None:
    ensembles = [method for method in plan.methods if METHODS[method].is_ensemble]
    if ensembles:
        problem = f"{ensembles[0]} is an ensemble, and these levels compare with the logits of one model."
        raise InputError(problem, "Use --level exact, which compares every ensemble with its declared law.")
    every = plan.settings_of()
    preflight_drafts(every.values(), report)
    # The session checks the files of a method's draft, if any needs one.
    first = next((each for each in every.values() if METHODS[each.method].asks_draft), None)
    session = Session.load(first or next(iter(every.values())), report)
    result.models, result.warnings = session.describe(), session.warnings
    size = models.Sizes(plan.samples, plan.length, len(every))
    asked = plan.settings if plan.settings.temperature > 0 else replace(plan.settings, temperature=SAMPLED)
    result.temperature = asked.temperature
    plain: list[list[int]] = []
    seeded: list[list[int]] = []
    if "greedy" in plan.levels:
        seeded = models.seeded_texts(session, asked, plan.prompts[:SEEDED], report)
    if "statistical" in plan.levels:
        plain = models.plain_texts(session, asked, plan.prompts[0], size, report)
    for name, settings in every.items():
        result.identical[name] = session.identical(settings)
        sampled = replace(settings, temperature=asked.temperature)
        if "greedy" in plan.levels:
            parted = models.parted_texts(session, sampled, plan.prompts, seeded, report)
            result.greedy[name] = models.greedy(session, settings, plan.prompts, parted, report)
        if "statistical" in plan.levels:
            found = models.statistical(session, sampled, plan.prompts[0], plain, size, report)
            result.statistical[name] = found
        if plan.bound and not METHODS[settings.method].is_plain:
            result.bound[name] = models.bound(session, sampled, plan.prompts, report)
    result.warnings = [*result.warnings, *_not_reached(session.target.thresholds, session.runner().longest)]


def _not_reached(lengths: dict[str, int], longest: int) -> list[str]:
    """What an audit must say of itself where its texts are shorter than the model's own thresholds."""
    return [
        f"No text of this audit is longer than {length:,} tokens, where the target's {what} begins, so "
        "nothing was checked there. A longer --prompt or --max-tokens reaches it."
        for what, length in lengths.items()
        if longest <= length
    ]
