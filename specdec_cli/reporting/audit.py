"""An audit as tables and as a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from specdec_cli.audit.exact import ExactCheck
from specdec_cli.audit.greedy import BitCheck, GreedyCheck
from specdec_cli.audit.models import BoundCheck
from specdec_cli.audit.run import AuditPlan, AuditResult
from specdec_cli.audit.self_test import FaultVerdict
from specdec_cli.audit.statistical import LEVEL, POWER, StatisticalTest
from specdec_cli.reporting.table import FittedTable, figures, names, texts
from specdec_cli.runtime.promise import BITWISE, UP_TO_TIES

SCHEMA_VERSION = 1
MARKS = {True: "pass", False: "FAIL"}
NOTHING = "-"
GREEDY_RULES = {
    BITWISE: "Bitwise: nothing is excused. Each token is the likeliest, of equals the first. other bits: "
    "tokens before which logits differ between a pass of one token and one of many. seeded: of the texts "
    "drawn above temperature 0, those that are plain decoding's of the same seed.",
    UP_TO_TIES: "Up to ties: a tie lies below the likeliest by no more than twice what logits move between "
    "passes (noise).",
}


def exact_table(checks: Sequence[ExactCheck]) -> FittedTable:
    """One row a method, verifier and tree."""
    keys = names("method", "verify", "tree", "sampling")
    columns = [*keys, *figures("paths"), *texts("distance"), *figures("")]
    title = "Exact: the law of the text beside the target's own, all paths of chance"
    table = FittedTable(columns, title)
    for check in checks:
        distance = check.error or f"{check.distance:.1e}"
        table.add_row(check.method, check.verify, check.tree or "-", check.sampling, f"{check.paths:,}",
                      distance, MARKS[check.passed])  # fmt: skip
    return table


def statistical_table(found: Mapping[str, Sequence[StatisticalTest]], temperature: float) -> FittedTable:
    """One row a test."""
    title = f"Statistical, temperature {temperature:g}: texts of one prompt beside the target's law"
    table = _table(title, ["method", "compared"],
                   ["texts", "bins", "pooled", "p-value", "would see", ""])  # fmt: skip
    table.caption = (
        f"p-values corrected for their number; below {LEVEL:g} fails. A total variation distance between the "
        f'bins of "would see" or more would have failed with {POWER:.0%}; pooled: share of the texts whose '
        "tokens were too rare to be told apart."
    )
    for method, tests in found.items():
        for test in tests:
            p_value = "-" if test.p_value is None else f"{test.p_value:.3f}"
            if test.impossible:
                p_value = f"{test.impossible} impossible"
            table.add_row(method, test.name, str(test.samples), str(test.bins), f"{test.pooled:.0%}", p_value,
                          f"{test.would_see:.3f}", MARKS[test.passed])  # fmt: skip
    return table


def greedy_table(found: Mapping[str, GreedyCheck]) -> FittedTable:
    """One row a method."""
    table = _table("Greedy, temperature 0: each emitted token beside the target's likeliest", ["method"],
                   ["identical", "tokens", "likeliest", "ties", "wrong", "noise", "other bits", "seeded",
                    "largest gap", ""])  # fmt: skip
    rules = {check.identical for check in found.values()}
    table.caption = " ".join(GREEDY_RULES[rule] for rule in GREEDY_RULES if rule in rules)
    for method, check in found.items():
        table.add_row(method, check.identical, str(check.tokens), str(check.best), str(check.ties),
                      str(check.wrong), f"{check.noise:.1e}", *_bits(check.bits), f"{check.worst:.1e}",
                      MARKS[check.passed])  # fmt: skip
    return table


def _bits(bits: BitCheck | None) -> tuple[str, str]:
    if bits is None:
        return NOTHING, NOTHING
    return str(bits.moved), f"{bits.seeded - bits.parted} of {bits.seeded}" if bits.seeded else NOTHING


def bound_table(found: Mapping[str, BoundCheck], temperature: float) -> FittedTable:
    """One row a method."""
    table = _table(f"What the guesses allow, temperature {temperature:g}", ["method"],
                   ["levels", "accepted", "bound", "share", "tokens per pass"])  # fmt: skip
    table.caption = (
        "accepted: levels of which a guess was accepted; bound: the most that any lossless verifier could "
        "expect on the same levels (optimal transport)."
    )
    for method, check in found.items():
        table.add_row(method, str(check.levels), f"{check.accepted:.1%}", _share(check.bound, 1),
                      _share(check.share, 0), f"{check.tokens_per_pass:.2f}")  # fmt: skip
    return table


def _share(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}%}"


def self_test_table(verdicts: Sequence[FaultVerdict]) -> FittedTable:
    """One row a planted bug."""
    table = _table("Self-test: bugs that were planted", ["bug", "method"],
                   ["exact", "statistical", "greedy", "without it", ""])  # fmt: skip
    marks = {True: "seen", False: "-"}
    for each in verdicts:
        table.add_row(each.name, each.method, marks[each.exact], marks[each.statistical], marks[each.greedy],
                      "pass" if each.innocent else "FAIL", "caught" if each.caught else "MISSED")  # fmt: skip
    return table


def tables(result: AuditResult) -> list[FittedTable]:
    """A table for each level that was asked for."""
    found = []
    if result.self_test:
        found.append(self_test_table(result.self_test))
    if result.exact:
        found.append(exact_table(result.exact))
    if result.greedy:
        found.append(greedy_table(result.greedy))
    if result.statistical:
        found.append(statistical_table(result.statistical, result.temperature))
    if result.bound:
        found.append(bound_table(result.bound, result.temperature))
    return found


def certificate(plan: AuditPlan, result: AuditResult, machine: Mapping[str, str | int]) -> dict[str, Any]:
    """Everything about an audit, for JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": result.passed,
        "levels": list(plan.levels),
        "methods": {
            "exact": list(plan.exact_methods) if result.exact else [],
            "models": {name: asdict(each) for name, each in plan.settings_of().items()}
            if plan.needs_models
            else {},
        },
        "identical": dict(result.identical),
        "temperature": {"statistical": result.temperature, "bound": result.temperature, "greedy": 0.0},
        "prompts": list(plan.prompts) if plan.needs_models else [],
        "exact": _plain(result.exact),
        "statistical": _plain(result.statistical),
        "greedy": _plain(result.greedy),
        "bound": _plain(result.bound),
        "self_test": _plain(result.self_test),
        "warnings": list(result.warnings),
        "settings": asdict(plan.settings),
        "models": result.models,
        "machine": dict(machine),
    }


def _plain(level: object) -> object:
    """Records of a level as dictionaries, with the verdict of each."""
    if isinstance(level, Mapping):
        return {str(name): _plain(each) for name, each in level.items()}
    if isinstance(level, list | tuple):
        return [_plain(each) for each in level]
    if isinstance(level, BoundCheck):
        return asdict(level) | {"share": level.share}
    if isinstance(level, FaultVerdict):
        return asdict(level) | {"caught": level.caught}
    if isinstance(level, ExactCheck | StatisticalTest | GreedyCheck):
        rule = {"identical": level.identical} if isinstance(level, GreedyCheck) else {}
        return asdict(level) | rule | {"passed": level.passed}
    return level


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> FittedTable:
    return FittedTable([*names(*left), *figures(*right)], title)
