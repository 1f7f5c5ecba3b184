"""The report on what no test reaches sees a module that is only imported, and one that is known wrongly."""

import pytest
import unreached

SOURCE = '''"""A module."""
import math


class Shape:
    """A shape."""

    sides = 3

    def area(self):
        """How large it is."""
        return math.inf


class Protocol:
    def area(self):
        """Nothing that could run."""
        ...
'''
LINES_OF_IMPORT, LINE_OF_AREA = {1, 2, 5, 6, 8, 10, 15, 16}, 12


def test_a_module_whose_functions_never_ran_is_not_reached():
    found = unreached.reach_of(SOURCE, LINES_OF_IMPORT)
    assert (found.is_reached, found.uncalled) == (False, ["Shape.area"])


def test_a_module_of_which_a_function_ran_is_reached():
    found = unreached.reach_of(SOURCE, LINES_OF_IMPORT | {LINE_OF_AREA})
    assert (found.is_reached, found.called, found.uncalled) == (True, ["Shape.area"], [])


@pytest.mark.parametrize(("lines", "reached"), [({1}, True), (set(), False)])
def test_a_module_without_functions_is_reached_where_it_was_imported(lines, reached):
    assert unreached.reach_of("LIMIT = 3\n", lines).is_reached is reached


def test_a_module_that_is_not_reached_is_a_problem_unless_it_is_known():
    found = {"a.py": unreached.Reach(imported=False), "b.py": unreached.Reach(imported=True)}
    assert unreached.verdict(found, {}) == ["No test reaches a.py."]
    assert unreached.verdict(found, {"a.py": "needs a GPU"}) == []


def test_a_known_module_that_is_reached_or_gone_is_a_problem():
    found = {"b.py": unreached.Reach(imported=True)}
    problems = unreached.verdict(found, {"b.py": "needs a GPU", "c.py": "needs another"})
    assert [each.partition(" ")[0] for each in problems] == ["b.py", "c.py"]


def test_every_module_of_the_package_is_looked_at():
    found = unreached.reaches(lambda file: None)
    assert {"specdec_cli/engine/loop.py", "specdec_cli/__main__.py"} <= found.keys()
    assert not any(reach.is_reached for reach in found.values())
