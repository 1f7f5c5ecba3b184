"""Sweeps become curves: which configurations make a line, and over what."""

from dataclasses import replace

import pytest

from specdec_cli.benchmarking.summary import Ratio, Row
from specdec_cli.reporting.curves import find_curves
from specdec_cli.reporting.plots import draw


def row(name: str, speedup: float | None = 1.5) -> Row:
    ratio = None if speedup is None else Ratio(speedup, speedup - 0.2, speedup + 0.3)
    figures = {field: 0.5 for field in Row.__dataclass_fields__ if field not in ("configuration", "speedup")}
    return Row(**(figures | {"configuration": name, "speedup": ratio}))


def test_configurations_that_differ_in_one_number_are_a_line_in_its_order() -> None:
    names = ["specexec, budget 32", "specexec, budget 8", "ngram, budget 8", "ngram, budget 16", "sps"]
    found = find_curves([row("autoregressive", None), *map(row, names)])
    assert found is not None
    assert found.axis == "budget"
    assert {name: [value for value, _ in line] for name, line in found.lines.items()} == {
        "specexec": [8, 32],
        "ngram": [8, 16],
    }
    assert [each.configuration for each in found.levels] == ["sps"]


def test_other_swept_values_part_the_lines() -> None:
    names = [f"specexec, T {heat}, budget {budget}, beams 4" for heat in (0, 0.6) for budget in (8, 16)]
    found = find_curves([row(name) for name in names])
    assert found is not None
    assert set(found.lines) == {"specexec, T 0, beams 4", "specexec, T 0.6, beams 4"}


@pytest.mark.parametrize(
    "names", [["sps", "specexec"], ["sps, gamma 4", "specexec, budget 8"], ["specexec, budget auto", "sps"]]
)
def test_without_two_numbers_on_a_line_there_are_no_curves(names: list[str]) -> None:
    assert find_curves([row(name) for name in names]) is None


def test_a_sweep_without_intervals_is_drawn_too(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    rows = [row("autoregressive", None), *(row(f"sps, gamma {gamma}") for gamma in (1, 2))]
    alone = [each if each.speedup is None else _alone(each) for each in rows]
    draw(alone, tmp_path / "sweep.svg")
    text = (tmp_path / "sweep.svg").read_text()
    assert "<svg" in text
    assert "length of the chain" in text


def _alone(each: Row) -> Row:
    """As it is with one prompt: a ratio without an interval."""
    assert each.speedup is not None
    return replace(each, speedup=Ratio(each.speedup.value, None, None))
