"""Sweeps become curves: which configurations make a line, and over what."""

from typing import Any

import pytest

from specdec_cli.benchmarking.summary import Ratio, Row
from specdec_cli.reporting.curves import ends, find_curves
from specdec_cli.reporting.plots import draw

USUAL = Ratio(1.5, 1.3, 1.8)


def row(name: str, ratio: Ratio | None = USUAL) -> Row:
    figures: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__, 0.5)
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
    assert [each.row.configuration for each in found.levels] == ["sps"]


def test_other_swept_values_part_the_lines() -> None:
    names = [
        f"specexec, T {temperature}, budget {budget}, beams 4"
        for temperature in (0, 0.6)
        for budget in (8, 16)
    ]
    found = find_curves([row(name) for name in names])
    assert found is not None
    assert set(found.lines) == {"specexec, T 0, beams 4", "specexec, T 0.6, beams 4"}


@pytest.mark.parametrize(
    "names", [["sps", "specexec"], ["sps, gamma 4", "specexec, budget 8"], ["specexec, budget auto", "sps"]]
)
def test_without_two_numbers_on_a_line_there_are_no_curves(names: list[str]) -> None:
    assert find_curves([row(name) for name in names]) is None


def test_the_axis_is_the_one_that_most_configurations_are_on() -> None:
    names = ["specexec, budget 8", "specexec, budget 16", *(f"sps, gamma {gamma}" for gamma in range(1, 6))]
    found = find_curves([row(name) for name in names])
    assert found is not None
    assert found.axis == "gamma"
    assert len(found.levels) == 2


def test_rows_without_a_speedup_are_in_no_curve() -> None:
    found = find_curves([row("sps, gamma 1"), row("sps, gamma 2"), row("sps, gamma 3", None)])
    assert found is not None
    assert [value for value, _ in found.lines["sps"]] == [1, 2]


def test_an_interval_reaches_from_the_ratio_and_never_backwards() -> None:
    assert ends(Ratio(1.5, 1.25, 2.0)) == (0.25, 0.5)
    assert ends(Ratio(1.5, None, None)) == (0.0, 0.0)
    assert ends(Ratio(1.5, 1.5000001, 1.4999999)) == (0.0, 0.0)


@pytest.mark.parametrize("ratio", [Ratio(1.5, 1.3, 1.8), Ratio(1.5, None, None)])
def test_a_sweep_is_drawn_with_and_without_intervals(tmp_path, ratio: Ratio) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    names = ["sps, gamma 1", "sps, gamma 2", "rrsw, gamma 1", "rrsw, gamma 8", "ngram"]
    draw([row("autoregressive", None), *(row(name, ratio) for name in names)], tmp_path / "sweep.svg")
    text = (tmp_path / "sweep.svg").read_text()
    assert "<svg" in text
    assert "length of the chain" in text
