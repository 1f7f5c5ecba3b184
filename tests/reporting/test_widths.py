"""Every table that the program prints is whole at 80 columns, and at others, whatever stands in it."""

import ast
from pathlib import Path

import program_tables
import pytest
from program_tables import CASES, bench
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from specdec_cli import reporting
from specdec_cli.reporting.table import Column, FittedTable, figures, names, texts


def tables_of(name: str) -> list[FittedTable]:
    made = CASES[name]()
    return made if isinstance(made, list) else [made]


def shown(table: FittedTable, width: int) -> list[str]:
    console = Console(width=width, file=open("/dev/null", "w"), record=True, color_system=None)  # noqa: SIM115
    with console.file:
        console.print(table)
        return console.export_text().splitlines()


def plain(cell: str | Text) -> str:
    return cell if isinstance(cell, str) else cell.plain


def missing(table: FittedTable, width: int) -> list[str]:
    """The words of headings and the figures that are not whole on a screen, each with its cell."""
    lines = shown(table, width)
    words = {word for line in lines for word in line.split()}
    whole = "\n".join(" ".join(line.split()) for line in lines)
    lost = [word for column in table.columns for word in column.heading.split() if word not in words]
    for index, column in enumerate(table.columns):
        for row in table.rows:
            cell = plain(row[index])
            if column.figures:
                parts = [part for line in cell.split("\n") for part in line.replace(" (", "\n(").split("\n")]
                lost += [part for part in parts if part not in whole]
            elif width >= 80:  # a path may be longer than half of the screen, and is folded
                lost += [word for word in cell.split() if len(word) <= 24 and word not in words]
    return lost


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("name", CASES)
def test_no_heading_and_no_figure_is_cut(name: str, width: int) -> None:
    for table in tables_of(name):
        lines = shown(table, width)
        assert max(map(cell_len, lines)) <= width
        assert not any("…" in line for line in lines)
        assert missing(table, width) == []


@pytest.mark.parametrize("width", [20, 40])
@pytest.mark.parametrize("name", CASES)
def test_a_very_narrow_screen_gets_every_character_too(name: str, width: int) -> None:
    for table in tables_of(name):
        letters = "".join("".join(shown(table, width)).split())
        for row in table.rows:
            assert sum(map(len, "".join(map(plain, row)).split())) <= len(letters)
        assert "…" not in letters


def test_every_table_of_the_program_is_among_them() -> None:
    """Only reporting/table.py makes tables, and each function that gives one is called by a case."""
    folder = Path(reporting.__file__).parent
    called = Path(program_tables.__file__).read_text(encoding="utf-8")
    makers = []
    for path in sorted(folder.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if path.name != "table.py":
            assert "rich.table" not in source, path.name
            makers += [
                node.name
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.FunctionDef)
                and node.returns is not None
                and "FittedTable" in ast.unparse(node.returns)
                and not node.name.startswith("_")
            ]
    one_by_one = {"exact_table", "statistical_table", "greedy_table", "bound_table", "self_test_table"}
    assert len(makers) > 15
    assert [name for name in makers if name not in called and name not in one_by_one] == []


SPECEXEC = (
    "beams", "max_h", "budget", "minLP", "branch", "t0", "t1", "tree_h", "tree_size", "min_CLP", "exp_time",
    "gen_rate", "gen_speed", "mem_use",
)  # fmt: skip


def test_the_columns_of_specexecs_table_are_all_there_at_80_columns() -> None:
    words = {word for table in bench() for line in shown(table, 80) for word in line.split()}
    assert set(SPECEXEC) <= words
    assert {"4096", "-12.5", "123.4567", "12345.67", "12.34", "-123.45", "123456.7", "1234.00"} <= words


def two_figures(heading: str = "tokens per pass", figure: str = "1.63x (1.24-2.41)") -> FittedTable:
    table = FittedTable(
        [*names("name"), *figures(heading, "other heading"), *texts("remark")], "Title", "End."
    )
    table.add_row("autoregressive", figure, "12.3", "words that may go below each other")
    return table


BREAKS = {
    100: [
        "name              tokens per pass  other heading  remark",
        "autoregressive  1.63x (1.24-2.41)           12.3  words that may go below each other",
    ],
    80: [
        "                                     other",
        "name              tokens per pass  heading  remark",
        "autoregressive  1.63x (1.24-2.41)     12.3  words that may go below each other",
    ],
    60: [
        "                                     other",
        "name              tokens per pass  heading  remark",
        "autoregressive  1.63x (1.24-2.41)     12.3  words that may",
        "                                            go below each",
        "                                            other",
    ],
    56: [
        "                 tokens per    other",
        "name                   pass  heading  remark",
        "autoregressive        1.63x     12.3  words that may go",
        "                (1.24-2.41)           below each other",
    ],
    44: [
        "                                     other",
        "name              tokens per pass  heading",
        "autoregressive  1.63x (1.24-2.41)     12.3",
        "name            remark",
        "autoregressive  words that may go below",
        "                each other",
    ],
}


@pytest.mark.parametrize("width", BREAKS)
def test_as_little_as_will_do_is_broken(width: int) -> None:
    """Headings first, then text, then intervals, and columns go below each other last."""
    lines = [line.rstrip() for line in shown(two_figures(), width)]
    assert lines[0] == "Title"
    assert [line for line in lines[1:] if line and not line.startswith("─")] == [*BREAKS[width], "End."]


def test_the_name_of_a_row_stands_in_each_block_at_the_same_width() -> None:
    columns = [Column("temperature", key=True), *figures(*(f"guess {depth}" for depth in range(1, 13)))]
    table = FittedTable(columns)
    table.add_row("0.6", *(f"{depth}.5%" for depth in range(1, 13)))
    lines = shown(table, 60)
    assert sum("temperature" in line for line in lines) == 2
    assert [line.index("0.6") for line in lines if "0.6" in line] == [8, 8]
    assert [f"{depth}.5%" for depth in range(1, 13)] == [
        word for line in lines for word in line.split() if word.endswith("%")
    ]


def test_markup_in_a_name_is_text() -> None:
    table = FittedTable(names("[b]name[/b]"), "[i]title[/i]")
    table.add_row("[red]x[/red] :smile:")
    console = Console(width=80, markup=False, emoji=False, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    with console.file:
        console.print(table)
        whole = console.export_text()
    for text in ("[b]name[/b]", "[i]title[/i]", "[red]x[/red] :smile:"):
        assert text in whole


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        FittedTable(names("a", "b")).add_row("one")
