"""Every law, sampled in every way: all paths of chance give the declared law, and broken copies do not."""

from dataclasses import replace
from typing import Any

import ensemble_toys as toys
import planting
import pytest

from specdec_cli.audit.ensembles import (
    PROMPT,
    VOCAB_SIZES,
    declared,
    ensemble_cases,
    ensemble_distance,
    ensemble_law,
)
from specdec_cli.audit.enumeration import EXACT, NoiseReusedError, distance, law_of_text
from specdec_cli.audit.toys import MisuseError, ToyLaw
from specdec_cli.ensemble import alternate_proposal, combiners, execution, targets
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime import build
from specdec_cli.settings import Settings

ENSEMBLES = [name for name, method in METHODS.items() if method.is_ensemble]
CASES = [case for name in ENSEMBLES for case in ensemble_cases(name)]


def name_of(case):
    parts = [case.method, case.exec, str(len(case.models)), case.ensemble_fn, case.ensemble_target]
    parts += [":".join(map(str, case.gammas)), f"T{case.temperature:g}", f"mask{case.plausibility:g}"]
    return " ".join(filter(None, [*parts, case.verify]))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_text_of_several_steps_follows_the_declared_law(case):
    found, paths = ensemble_distance(case, seed=1)
    assert found < EXACT
    assert paths >= 1


def test_the_cases_cover_every_law_and_execution_for_one_two_and_three_models():
    seen = {(case.exec, len(case.models)) for case in CASES}
    assert seen >= {(kind, count) for kind in ("plain", "sd", "chef", "mixture") for count in (1, 2, 3)}
    laws = {(case.ensemble_fn or METHODS[case.method].combine, case.exec) for case in CASES}
    named = ("weighted", "geometric", "contrastive", "proxy")
    assert laws >= {(law, kind) for law in named for kind in ("plain", "sd", "chef")}
    assert any(len(set(case.gammas)) > 1 and case.exec == "chef" and len(case.models) == 3 for case in CASES)


WE = Settings(method="we", temperature=1.0, models=("toy",) * 2, weights=("0.7", "0.3"))
WE3 = replace(WE, models=("toy",) * 3, weights=("0.5", "0.3", "0.2"))
CD = Settings(method="cd", temperature=1.0, models=("toy",) * 2, alpha=0.5, plausibility=0.3)
CHEF: dict[str, Any] = {"exec": "chef", "gammas": (2, 1)}
SD: dict[str, Any] = {"exec": "sd", "gammas": (2, 1)}
MIX: dict[str, Any] = {"exec": "mixture"}
BUGS = {
    "accepted by the verifier's law, not the ensemble's": (
        alternate_proposal, "chance = float(law[guess.token])",
        "chance = float(self._ensemble.own(guess.rows[max(guess.rows)])[guess.token])",
        replace(WE, **CHEF),
    ),
    "the residual of a rejected guess is the law itself": (
        alternate_proposal, "rest = residual(law, guess.proposal.to(law))", "rest = law", replace(WE, **CHEF),
    ),
    "what follows a rejected guess stays": (
        alternate_proposal, "self._guesses, self._turn, self._start = [], 0, self._position",
        "self._turn, self._start = 0, self._position\n            self._guesses = self._guesses[1:]",
        replace(WE, **CHEF),
    ),
    "the noise before a rejection is used again": (
        alternate_proposal, "self._guesses, self._turn, self._start = [], 0, self._position",
        "self._guesses, self._turn = [], 0", replace(WE, **CHEF),
    ),
    "a bonus token is emitted without being judged": (
        alternate_proposal, "verdict = self._verdict(self._guesses[0])",
        "verdict = len(self._guesses) == 1 or self._verdict(self._guesses[0])", replace(WE, **CHEF),
    ),
    "models in the order of their turns": (
        alternate_proposal, "[guess.rows[index].to(guess.proposal.device) for index in indices]",
        "[guess.rows[index] for index in guess.rows]", replace(CD, exec="chef", gammas=(1, 2)),
    ),
    "the proposer's last row is that of the one before": (
        targets, "return self._rows[number]", "return self._rows[min(number, 1)]", replace(WE, **SD),
    ),
    "every model is drawn as often": (
        targets, "self._ensemble.weights or ()", "[1.0] * len(self._ensemble.members)", replace(WE, **MIX),
    ),
    "the first model alone": (
        combiners, "terms = [self.weights[index] * distribution(logits, each) for",
        "terms = [(index == 0) * distribution(logits, each) for", replace(WE, exec="plain"),
    ),
    "the sign of the amateur": (combiners, "LogitSum((1.0, -self.alpha)", "LogitSum((1.0, self.alpha)",
                                replace(CD, exec="sd", gammas=(1, 2))),
    "the mask is forgotten": (combiners, "if self.plausibility > 0:", "if False:", replace(CD, exec="plain")),
    "an early verdict from too small a lead": (
        combiners, "if first - second > rest + TIE", "if first > second",
        replace(WE3, exec="chef", gammas=(1, 1, 1), temperature=0.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_broken_copy_does_not_follow_it(bug, monkeypatch):
    module, right, wrong, case = BUGS[bug]
    copy = planting.broken(module, right, wrong)
    plant(monkeypatch, module, copy)
    assert any(strays(case, seed) for seed in seeds_for(case))


def seeds_for(case):
    """At temperature 0 many laws leave a bug no chance to show."""
    return range(12) if case.temperature == 0 else (1,)


def strays(case, seed):
    """Whether the law is another, or the toys or the walk of chance notice a misuse."""
    try:
        return ensemble_distance(case, seed)[0] > 1e-6
    except (MisuseError, NoiseReusedError, ValueError):
        return True


def plant(monkeypatch, module, copy):
    """Make everything that uses a module use its broken copy."""
    if module is alternate_proposal:
        monkeypatch.setattr(execution, "AlternateProposal", copy.AlternateProposal)
    elif module is targets:
        for name in ("EnsembleTarget", "MixtureTarget", "Proposer", "ProposerRows"):
            monkeypatch.setattr(execution, name, getattr(copy, name))
    else:
        for name in ("Contrastive", "LogitSum", "WeightedAverage"):
            monkeypatch.setattr(build, name, getattr(copy, name))


@pytest.mark.parametrize("bug", BUGS)
def test_the_same_case_without_the_bug_follows_it(bug):
    case = BUGS[bug][3]
    assert all(ensemble_distance(case, seed)[0] < EXACT for seed in seeds_for(case))


@pytest.mark.parametrize("kind", ["plain", "sd", "chef", "mixture"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_model_is_decoded_plainly_token_for_token(kind, temperature):
    law = ToyLaw(5, 7)
    for seed in range(10):
        plain = toys.tokens(toys.steps(toys.averaged([law], temperature=temperature), "plain", 20, seed=seed))
        made = toys.steps(toys.averaged([law], temperature=temperature), kind, 20, seed=seed)
        assert toys.tokens(made) == plain
        assert toys.calls_per_token(made) == 1


@pytest.mark.parametrize("kind", ["sd", "chef"])
def test_greedy_text_is_the_same_however_it_is_sampled(kind):
    for seed in range(6):
        laws = [ToyLaw(6, 3 * seed + number) for number in range(3)]
        plain = toys.tokens(toys.steps(toys.averaged(laws, (0.5, 0.3, 0.2), 0.0), "plain", 30))
        for gammas in ((1, 1, 1), (3, 1, 2)):
            made = toys.steps(toys.averaged(laws, (0.5, 0.3, 0.2), 0.0), kind, 30, gammas)
            assert toys.tokens(made) == plain


def test_a_greedy_average_is_no_vote_and_not_the_first_model():
    laws = [toys.constant(0.4, 0.35, 0.25), toys.constant(0.4, 0.35, 0.25), toys.constant(0.0, 0.9, 0.1)]
    made = toys.steps(toys.averaged(laws, temperature=0.0), "plain", 3)
    assert toys.tokens(made) == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if len(case.models) == 3], ids=name_of)
def test_three_models_over_three_tokens_follow_the_declared_law(case, monkeypatch):
    monkeypatch.setitem(VOCAB_SIZES, 3, 3)
    laws = [ToyLaw(3, 40 + number) for number in range(3)]
    emitted, _ = ensemble_law(case, laws)
    assert distance(emitted, law_of_text(declared(case, laws), PROMPT, 3)) < EXACT
