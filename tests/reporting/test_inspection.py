"""How a step is drawn."""

from rich.console import Console

from specdec_cli.reporting.inspection import step_tree, visible
from specdec_cli.tracing.inspection import ACCEPTED, REJECTED, UNREACHED, Guess, StepPicture

PICTURE = StepPicture(
    number=2,
    position=7,
    after="of a",
    guesses=(
        Guess(5, " cat", -1, ACCEPTED, 0.5, 0.25),
        Guess(6, "\n", -1, REJECTED, 0.125, None),
        Guess(7, " s at", 0, REJECTED, None, 1.0),
        Guess(8, "x", 1, UNREACHED, 0.0, 0.0),
    ),
    accepted=1,
    next_token=9,
    next_text=" sat",
    next_probability=0.75,
    emitted=2,
    finish_reason="length",
)


def drawn(width: int) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"), color_system=None)  # noqa: SIM115
    console.print(step_tree(PICTURE))
    console.file.close()
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_step_is_a_tree_with_marks_for_those_who_see_no_colour() -> None:
    assert drawn(80) == [
        "step 2 at 7: 1 of 4 accepted, +2, ends: length  of␣a",
        "├── + ␣cat  t 0.500  d 0.250",
        "│   ├── - ␣s␣at  d 1.000",
        "│   └── = ␣sat  t 0.750",
        "└── - ↵  t 0.125",
        "    └──   x  t 0.000  d 0.000",
    ]


def test_a_narrow_screen_loses_nothing() -> None:
    lines = drawn(20)
    assert max(map(len, lines)) <= 20
    whole = "".join("".join(lines).split())
    for word in ("␣cat", "␣s␣at", "␣sat", "0.750", "0.500"):
        assert word in whole


def test_whitespace_and_control_characters_are_visible() -> None:
    assert visible(" a\tb\r\n\x07") == "␣a⇥b␍↵\\x07"
    assert visible("中文") == "中文"
