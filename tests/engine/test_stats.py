"""The figures of a run follow from its steps by the definitions."""

from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats


def step(tokens, accepted, drafted, **others):
    times = {"seconds": 0.5, "draft_seconds": 0.1, "target_seconds": 0.3} | others
    return Step(tuple(range(tokens)), accepted, drafted, depth=drafted, **times)


def test_figures_of_two_steps():
    stats = RunStats.of([step(4, 3, 4, prefill_seconds=2.0), step(1, 0, 4)])
    assert (stats.tokens, stats.passes, stats.accepted_lengths) == (5, 2, [3, 0])
    assert stats.tokens_per_pass == 5 / 2
    assert stats.acceptance_rate == 3 / 8
    assert stats.tokens_per_second == 5 / 1.0
    assert stats.first_token_seconds == 2.5
    assert abs(stats.overhead_seconds - 0.2) < 1e-12


def test_where_nothing_was_drafted_there_is_no_acceptance_rate():
    stats = RunStats.of([step(1, 0, 0)])
    assert stats.acceptance_rate is None
    assert stats.tokens_per_pass == 1.0


def test_a_run_without_steps_has_no_rates():
    stats = RunStats()
    assert stats.tokens_per_pass is None
    assert stats.tokens_per_second is None
    assert stats.first_token_seconds is None
