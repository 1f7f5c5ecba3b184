"""The table of a comparison says what was measured, and where texts part."""

import re

import pytest

from specdec_cli.benchmarking.method_comparison import MethodComparison
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.reporting.console import out
from specdec_cli.reporting.method_comparison import method_comparison_table
from specdec_cli.runtime.promise import Promise


def standing(
    name: str,
    speedups: tuple[float, ...],
    drafted: int = 0,
    difference: int | None = None,
    identical: Promise | None = "up to ties",
) -> MethodComparison:
    stats = RunStats.of([Step((1, 2, 3), 2 if drafted else 0, drafted, drafted, 0.5, 0.1, 0.3)])
    return MethodComparison(name, stats, speedups, difference, identical)


def rows(text: str) -> list[list[str]]:
    """Cells of the table's rows, which stand between its rule and its caption."""
    lines = text.partition("───")[2].partition("Speed-up")[0].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip()) for line in lines if line.strip()]


@pytest.mark.parametrize("columns", ["80", "160"])
def test_one_row_a_method_and_the_first_is_the_measure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = method_comparison_table(
        [
            standing("plain", (1.0, 1.0, 1.0)),
            standing("[b]quick[/b]", (1.5, 2.25, 0.75), drafted=4),
            standing("other", (1.0, 1.0, 1.0), drafted=8, difference=0, identical=None),
        ],
        "[i]tiny[/i], 3 tokens at most",
        "float32",
    )
    out().print(table)
    shown = capsys.readouterr().out
    assert rows(shown) == [
        ["plain", "6.0", "1.00x", "3.00", "-", "up to ties", "-"],
        ["[b]quick[/b]", "6.0", "1.50x (0.75-2.25)", "3.00", "50%", "up to ties", "all"],
        ["other", "6.0", "1.00x (1.00-1.00)", "3.00", "25%", "-", "first 0"],
    ]
    assert "[i]tiny[/i], 3 tokens at most" in shown
    assert "Speed-up over plain: median of 3 paired rounds" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("number_format", "identical", "difference", "said"),
    [
        ("float32", "up to ties", None, ""),
        ("float32", "up to ties", 7, "in float32, passes of other sizes round otherwise"),
        ("bfloat16", "up to ties", None, "in bfloat16, passes of other sizes round otherwise"),
        ("float16", "up to ties", 7, "in float16, passes of other sizes round otherwise"),
        ("float32", None, 7, "above temperature 0, methods draw otherwise, from the same distribution"),
        ("bfloat16", "bitwise", None, ""),
        ("bfloat16", "bitwise", 7, ""),  # that is a bug, and no reason excuses it
    ],
)
def test_it_says_why_texts_may_part(
    number_format: str, identical: Promise | None, difference: int | None, said: str
) -> None:
    measured = [
        standing("plain", (1.0,), identical=identical),
        standing("other", (1.0,), drafted=8, difference=difference, identical=identical),
    ]
    caption = method_comparison_table(measured, "tiny", number_format).caption
    assert caption.startswith("Speed-up over plain: median of 1 paired rounds (least-greatest).")
    assert ("Same tokens, or the first that is another" in caption, said in caption) == (bool(said), True)
