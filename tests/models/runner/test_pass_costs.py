"""What a pass should take follows from the passes that were made."""

import pytest

from specdec_cli.models.runner.pass_costs import REMEMBERED, PassCosts


def test_nothing_is_known_before_the_first_pass():
    assert PassCosts().seconds(3) is None


def test_between_two_sizes_it_is_on_the_line_through_them():
    costs = PassCosts()
    costs.observe(10, 1.0)
    costs.observe(30, 2.0)
    assert [costs.seconds(rows) for rows in (10, 15, 20, 30)] == pytest.approx([1.0, 1.25, 1.5, 2.0])


def test_below_the_smallest_it_is_no_less_and_above_the_largest_it_grows_in_proportion():
    costs = PassCosts()
    costs.observe(10, 1.0)
    assert costs.seconds(1) == 1.0
    assert costs.seconds(40) == pytest.approx(4.0)


def test_one_hiccup_is_forgiven_and_a_machine_that_changed_is_followed():
    costs = PassCosts()
    for seconds in (1.0, 1.0, 9.0):
        costs.observe(4, seconds)
    assert costs.seconds(4) == 1.0
    for _ in range(REMEMBERED):
        costs.observe(4, 3.0)
    assert costs.seconds(4) == 3.0
