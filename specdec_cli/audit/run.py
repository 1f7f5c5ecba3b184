"""An audit from plan to result: which levels, which methods, on which models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from specdec_cli.audit import models
from specdec_cli.audit.exact import ExactCheck, cases, check, same_text
from specdec_cli.audit.greedy import GreedyCheck
from specdec_cli.audit.models import BoundCheck
from specdec_cli.audit.self_test import Sighting, self_test
from specdec_cli.audit.statistical import StatisticalTest
from specdec_cli.methods import METHODS
from specdec_cli.session import Session
from specdec_cli.settings import Settings

WARM = 1.0  # temperature of level statistical where the settings are greedy: then there is a law to test
SEEDED = ("specexec", "ngram")


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What to check.

    Attributes:
        settings: of the models, the sampling and the methods.
        levels: "exact", "statistical", "greedy".
        methods: names in `METHODS`.
        bound: whether to compare acceptance with what is possible.
        self_test: whether to plant bugs.
        prompts: for the levels that need models; level statistical takes the first.
        samples: texts at level statistical.
        length: of these, in tokens.
    """

    settings: Settings
    levels: Sequence[str]
    methods: Sequence[str]
    bound: bool
    self_test: bool
    prompts: Sequence[str]
    samples: int
    length: int

    @property
    def needs_models(self) -> bool:
        """Whether anything but toys is asked for."""
        return self.bound or any(level != "exact" for level in self.levels)

    def settings_of(self, method: str) -> Settings:
        """The settings for one method: verifier and tree as asked where it takes them, its own elsewhere."""
        known = METHODS[method]
        verify = self.settings.verify if self.settings.verify in known.verify else next(iter(known.verify))
        tree = self.settings.tree if known.takes_tree else None
        return replace(self.settings, method=method, verify=verify, tree=tree)


@dataclass(slots=True)
class AuditResult:
    """What was found, by level; empty where nothing was asked."""

    exact: list[ExactCheck] = field(default_factory=list)
    statistical: dict[str, list[StatisticalTest]] = field(default_factory=dict)
    greedy: dict[str, GreedyCheck] = field(default_factory=dict)
    bound: dict[str, BoundCheck] = field(default_factory=dict)
    self_test: list[Sighting] = field(default_factory=list)
    models: dict[str, object] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every check passed and every planted bug was caught."""
        return (
            all(each.passed for each in self.exact)
            and all(test.passed for tests in self.statistical.values() for test in tests)
            and all(each.passed for each in self.greedy.values())
            and all(each.caught for each in self.self_test)
        )


def run(plan: AuditPlan, report: Callable[[str], None]) -> AuditResult:
    """Do what the plan says.

    Raises:
        SpecdecError: a model cannot be had, or a setting is of no use.
    """
    result = AuditResult()
    if plan.self_test:
        report("Planting bugs")
        result.self_test = self_test(plan.settings.seed)
    if "exact" in plan.levels:
        result.exact = list(_exact(plan, report))
    if plan.needs_models:
        _on_models(plan, result, report)
    return result


def _exact(plan: AuditPlan, report: Callable[[str], None]) -> list[ExactCheck]:
    checks = []
    for settings in cases(plan.methods):
        report(f"Exact: {settings.method}, {settings.verify}, {settings.tree or 'its own tree'}")
        checks.append(check(settings, plan.settings.seed))
        if settings.method in SEEDED:
            checks.append(same_text(settings, plan.settings.seed))
        if settings.method == "specexec":
            checks.append(same_text(replace(settings, coupled=True), plan.settings.seed))
    return checks


def _on_models(plan: AuditPlan, result: AuditResult, report: Callable[[str], None]) -> None:
    every = {method: plan.settings_of(method) for method in plan.methods}
    # The session checks the draft of a method that needs one, if any does.
    first = next((each for each in every.values() if each.method not in ("autoregressive", "ngram")), None)
    session = Session.load(first or next(iter(every.values())), report)
    result.models, result.warnings = session.describe(), session.warnings
    for method, settings in every.items():
        if "greedy" in plan.levels:
            result.greedy[method] = models.greedy(session, settings, plan.prompts, report)
        warm = settings if settings.temperature > 0 else replace(settings, temperature=WARM)
        if "statistical" in plan.levels:
            result.statistical[method] = models.statistical(
                session, warm, plan.prompts[0], plan.samples, plan.length, report
            )
        if plan.bound and method != "autoregressive":
            result.bound[method] = models.bound(session, warm, plan.prompts, report)
