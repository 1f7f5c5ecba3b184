"""Lines of JSON: what a kill left at the end is told apart from other damage."""

from pathlib import Path

import pytest

from specdec_cli.errors import InputError
from specdec_cli.storage.lines import parse_lines

ONE, TWO = '{"a": 1}', '{"b": 2}'


@pytest.mark.parametrize(
    ("content", "numbers", "size", "ended"),
    [
        ("", [], 0, True),
        (f"{ONE}\n{TWO}\n", [1, 2], 18, True),
        (f"{ONE}\n{TWO}", [1, 2], 17, False),
        (ONE, [1], 8, False),
        (f"{ONE}\n\n \n{TWO}\n\n", [1, 4], 22, True),
        (f'{ONE}\n{{"b": ', [1], 9, True),
        (f"{ONE}\n{{", [1], 9, True),
        (f"{ONE}\n\0\0\0", [1], 9, True),
        ('{"b": ', [], 0, True),
        (f"{ONE}\n   ", [1], 9, True),
        (f"{ONE}\r\n{TWO}\r\n", [1, 2], 20, True),
        ('{"a": "\u2028\x85"}\n', [1], 15, True),
    ],
)
def test_what_a_kill_left_at_the_end_is_told_apart_from_what_is_whole(content, numbers, size, ended):
    found = parse_lines(Path("f"), content.encode())
    assert [number for number, _ in found.lines] == numbers
    assert (found.size, found.is_ended) == (size, ended)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"{ONE}\n{{x\n{TWO}\n", "line 2: not valid JSON"),
        (f"{ONE}\n{TWO}{ONE}\n", "line 2: not valid JSON"),
        (f"{ONE}\n{{x\n", "line 2: not valid JSON"),
        (f"{ONE}\nnotes of mine", "line 2: not valid JSON"),
        ("\udcff\n", "line 1: not UTF-8"),
        ("[" * 100_000 + "\n", "line 1: not valid JSON"),
    ],
)
def test_any_other_damage_is_named_by_its_line(content, problem):
    with pytest.raises(InputError) as caught:
        parse_lines(Path("f"), content.encode(errors="surrogateescape"))
    assert problem in caught.value.problem
