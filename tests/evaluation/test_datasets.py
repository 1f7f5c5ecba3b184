"""Data sets by whatever name: which prompts of them are taken, and how they are told apart."""

import pytest
from dataset_files import Write, refusal

from specdec_cli.evaluation.datasets import introduction, read_dataset


def test_count_and_start(write: Write) -> None:
    path = write("a.txt", "a\nb\nc\nd\n")
    assert [item.prompt for item in read_dataset(path, 2, 1)] == ["b", "c"]
    assert [item.prompt for item in read_dataset(path, start=3)] == ["d"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mtbench", "Did you mean mt-bench?"),
        ("promts", "Did you mean prompts?"),
        ("xyzzy", "The names are: prompts, mt-bench"),
    ],
)
def test_an_unknown_name(name: str, hint: str) -> None:
    message = refusal(name)
    assert f"There is no data set {name!r}. {hint}" in message
    assert ".parquet file works too" in message


@pytest.mark.parametrize(
    ("count", "start", "expected"),
    [
        (3, 0, "a.txt has 2 prompts, not 1 to 3."),
        (2, 1, "a.txt has 2 prompts, not 2 to 3."),
        (None, 2, "a.txt has 2 prompts, not 3 to the last."),
        (0, 0, "Cannot take 0 prompts"),
        (1, -1, "Cannot take 1 prompts from -1"),
    ],
)
def test_more_than_there_is(write: Write, count: int | None, start: int, expected: str) -> None:
    assert expected in refusal(write("a.txt", "a\nb\n"), count, start)


@pytest.mark.parametrize(
    ("name", "content", "place", "first"),
    [
        ("d.jsonl", '{"id": 7, "prompt": "a"}\n\n{"id": "7", "prompt": "c"}\n', "line 3", "line 1"),
        ("d.json", '[{"id": "x", "prompt": "a"}, {"id": "x", "prompt": "b"}]', "item 2", "item 1"),
        ("d.csv", "id,prompt\n1,a\n2,b\n1,c\n", "line 4", "line 2"),
        ("n.jsonl", '{"id": 2, "prompt": "a"}\n{"prompt": "b"}\n', "line 2", "line 1"),
    ],
)
def test_two_prompts_of_one_id_are_refused_with_both_places(
    write: Write, name: str, content: str, place: str, first: str
) -> None:
    path = write(name, content)
    said = refusal(path)
    assert f"{path}, {place}: the id" in said
    assert f"also that of {path}, {first}" in said
    assert read_dataset(path, 1)


def test_the_first_prompt_is_shown_in_one_line(write: Write) -> None:
    items = read_dataset(write("a.txt", f"{'word ' * 100}end\nb\n"))
    shown = introduction(items)
    assert shown.startswith("First prompt of 2 (503 characters): word word")
    assert shown.endswith("word end")
    assert len(shown) < 250
    assert introduction(items[1:]) == "First prompt (1 characters): b"
