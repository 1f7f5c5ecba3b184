"""Speed-ups are paired round by round, and every contender runs as often as the others."""

from dataclasses import replace
from typing import Any

import pytest

from specdec_cli.benchmarking.interleaving import WARM_UP_TOKENS
from specdec_cli.benchmarking.method_comparison import Contender, compare_methods, comparisons
from specdec_cli.engine.roles import Step
from specdec_cli.settings import Settings


def step(tokens, seconds, accepted=0, drafted=0):
    return Step(tuple(tokens), accepted, drafted, drafted, seconds, 0.0, seconds)


def test_speedups_are_ratios_within_a_round_and_their_median():
    plain = [[step([1, 2], 1.0)], [step([1, 2], 2.0)], [step([1, 2], 4.0)]]  # 2, 1 and 0.5 tokens a second
    quick = [[step([1, 2], 0.5)], [step([1, 2], 0.4)], [step([1, 2], 4.0)]]  # 4, 5 and 0.5
    first, second = comparisons({"plain": plain, "quick": quick})
    assert (first.name, first.speedups, first.speedup) == ("plain", (1.0, 1.0, 1.0), 1.0)
    assert second.speedups == (2.0, 5.0, 1.0)
    assert second.speedup == 2.0


def test_figures_are_totals_over_the_rounds():
    rounds = [
        [step([1, 2, 3], 1.0, accepted=2, drafted=4), step([4], 1.0, drafted=4)],
        [step([1, 2, 3, 4], 2.0, accepted=3, drafted=4)],
    ]
    (only,) = comparisons({"only": rounds})
    assert (only.stats.tokens, only.stats.passes, only.stats.accepted, only.stats.drafted) == (8, 3, 5, 12)
    assert only.stats.tokens_per_second == 8 / 4.0


@pytest.mark.parametrize(
    ("tokens", "position"),
    [([1, 2, 3], None), ([9, 2, 3], 0), ([1, 2, 9], 2), ([1, 2], 2), ([1, 2, 3, 4], 3), ([9], 0)],
)
def test_the_first_token_that_differs_is_told(tokens, position):
    _, other = comparisons({"plain": [[step([1, 2, 3], 1.0)]], "other": [[step(tokens, 1.0)]]})
    assert other.first_difference == position


class ToySession:
    """Notes who decodes; what it emits is the method's number."""

    def __init__(self):
        self.ran: list[tuple[int, int]] = []

    def steps(self, prompt, settings):
        self.ran.append((settings.seed, settings.max_tokens))
        yield step([settings.seed] * settings.max_tokens, 1.0)

    def identical(self, settings):
        return "bitwise" if settings.seed < 2 else None


@pytest.mark.parametrize("length", [3, 20])
def test_each_warms_up_and_then_the_order_turns_from_round_to_round(length):
    said: list[str] = []
    session: Any = ToySession()
    contenders = [Contender(f"c{seed}", Settings(seed=seed, max_tokens=length)) for seed in range(3)]
    result = compare_methods(session, [1, 2], contenders, 4, said.append)
    warm_up = [(seed, min(length, WARM_UP_TOKENS)) for seed in range(3)]
    order = [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]
    assert session.ran == [*warm_up, *((seed, length) for seed in order)]
    assert [standing.name for standing in result] == ["c0", "c1", "c2"]
    assert [standing.stats.tokens for standing in result] == [4 * length] * 3
    assert said[:4] == [
        "Round 1 of 4: c0", "Round 1 of 4: c1", "Round 1 of 4: c2", "Round 2 of 4: c1",
    ]  # fmt: skip


def test_tokens_that_differ_break_a_promise_where_there_is_one():
    session: Any = ToySession()
    contenders = [Contender(f"c{seed}", Settings(seed=seed, max_tokens=3)) for seed in range(3)]
    result = compare_methods(session, [1, 2], contenders, 1, lambda _: None)
    assert [each.identical for each in result] == ["bitwise", "bitwise", None]
    assert [each.is_broken for each in result] == [False, True, False]  # all but the first write another


def test_a_contender_runs_with_its_own_settings_and_not_those_of_the_warm_up():
    session: Any = ToySession()
    contender = Contender("only", Settings(max_tokens=50))
    (standing,) = compare_methods(session, [1], [contender], 1, lambda _: None)
    assert standing.stats.tokens == 50
    assert contender.settings == replace(Settings(), max_tokens=50)
