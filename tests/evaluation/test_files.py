"""Files of prompts: what each kind gives, and what is refused, with the place."""

import gzip
import os
from pathlib import Path

import pytest
from dataset_files import Write, refusal, stand_in_library

from specdec_cli.errors import InputError
from specdec_cli.evaluation import files
from specdec_cli.evaluation.datasets import Item, read_dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_jsonl(write: Write) -> None:
    first = '\ufeff{"prompt": "one\u2028two\\n", "id": "x", "category": "c", "reference": "r"}\r\n'
    path = write("a.jsonl", first + '\n{"question": "three", "answer": 7}\n')
    assert read_dataset(path) == [Item("x", "one\u2028two\n", "c", "r"), Item("3", "three", "", "7")]


def test_json(write: Write) -> None:
    path = write("a.JSON", '[{"text": "one"},\n{"text": "two", "question_id": 0, "dataset": "d"}]')
    assert read_dataset(path) == [Item("1", "one"), Item("0", "two", "d")]


def test_csv(write: Write) -> None:
    path = write("a.csv", 'prompt,reference\n"one,\ntwo",r\r\nthree,\n')
    assert read_dataset(path) == [Item("2", "one,\ntwo", "", "r"), Item("4", "three")]


def test_txt(write: Write) -> None:
    assert read_dataset(write("a.txt", "one\r\n\n  \n two \n")) == [Item("1", "one"), Item("4", "two")]


def test_parquet(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in_library(
        monkeypatch, [{"prompt": None, "input": "one"}, {"prompt": "two", "input": None}]
    )
    path = write("a.parquet", "")
    assert read_dataset(path) == [Item("1", "one"), Item("2", "two")]
    assert asked == [{"path": "parquet", "data_files": path, "split": "train", "streaming": True}]


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_parquet_with_the_library_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pytest.importorskip("datasets")
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist([{"prompt": "one", "reference": ["r"]}]), path)
    assert read_dataset(str(path)) == [Item("1", "one", "", "r")]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
@pytest.mark.parametrize(
    ("name", "count", "id", "answered"),
    [("mt_bench", 80, "81", False), ("humaneval", 164, "HumanEval/0", True), ("gsm8k_test", 200, "1", True)],
)
def test_files_of_well_known_sets_read_as_they_are(name: str, count: int, id: str, answered: bool) -> None:
    items = read_dataset(str(SHARED / f"{name}.jsonl"))
    assert len(items) == count
    assert items[0].id == id
    assert (items[0].reference is not None) == answered


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"prompt": "a"}\n' * 16 + '{"prompt":\n{"input": "b"}', "line 17: not valid JSON"),
        ("a.jsonl", '\n\n{"prompt": "a"} x', "a.jsonl, line 3: not valid JSON"),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: not valid JSON"),
        ("a.jsonl", '\n{"prom": "a", "b": 1}', "a.jsonl, line 2: none of its fields is a prompt (prom, b)."),
        ("a.jsonl", '{"prom": "a"}', "prompt, instruction, question, turns, article, text, input"),
        ("a.jsonl", '{"prompt": null}', "line 1: none of its fields is a prompt (it has none)"),
        ("a.jsonl", '["a"]', "a.jsonl, line 1: an array, not an object"),
        ("a.jsonl", '"a"', "a.jsonl, line 1: a text, not an object"),
        ("a.jsonl", '{"prompt": 3}', "a.jsonl, line 1: prompt is a number, not text"),
        ("a.jsonl", '{"turns": [{"role": "user"}]}', "a.jsonl, line 1: turns is an object, not text"),
        ("a.jsonl", '{"prompt": "a", "answer": {}}', "a.jsonl, line 1: answer is an object, not text"),
        ("a.jsonl", '{"prompt": " \\n"}', "a.jsonl, line 1: an empty prompt"),
        ("a.jsonl", '{"turns": []}', "a.jsonl, line 1: an empty prompt"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "\xff"}', "a.jsonl, line 2: not UTF-8"),
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.jsonl", "\n \n", "a.jsonl is empty"),
        ("a.json", '[{"prompt": "a"},\n{"prompt": }]', "a.json, line 2: not valid JSON"),
        ("a.json", '{"prompt": "a"}', "a.json, line 1: an object, not an array"),
        ("a.json", '[{"prompt": "a"}, 3]', "a.json, item 2: a number, not an object"),
        ("a.json", "[]", "a.json has 0 prompts"),
        ("a.csv", "prompt,id\n\"a\nb\",1\nc\n", "line 4: not valid CSV (1 cells where the header has 2)"),
        ("a.csv", 'prompt\na\n"b', "a.csv, line 3: not valid CSV"),
        ("a.csv", "prom\na\n", "a.csv, line 2: none of its fields is a prompt (prom)"),
        ("a.csv", "prompt\n", "a.csv has 0 prompts"),
        ("a.txt", " ", "a.txt is empty"),
        ("a.txt", "Grüße".encode("utf-16"), "a.txt, line 1: not UTF-8"),
        ("a.md", "a", "There is no data set"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_place(
    write: Write, name: str, content: str | bytes, expected: str
) -> None:
    assert expected in refusal(write(name, content))


def test_a_broken_line_is_refused_even_before_the_start(write: Write) -> None:
    assert "line 1: not valid JSON" in refusal(write("a.jsonl", 'x\n{"prompt": "a"}\n'), 1, 1)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "gone.jsonl"
    assert f"{path} cannot be read: No such file or directory." in refusal(str(path))
    (tmp_path / "folder.txt").mkdir()
    assert "folder.txt is a folder, not a file." in refusal(str(tmp_path / "folder.txt"))
    assert "The home folder in ~nobody-of-that-name/a.txt is not known" in refusal(
        "~nobody-of-that-name/a.txt"
    )


@pytest.mark.parametrize("failing", [ValueError("no magic bytes\nmore"), OSError()])
def test_what_the_library_cannot_read(
    write: Write, monkeypatch: pytest.MonkeyPatch, failing: Exception
) -> None:
    stand_in_library(monkeypatch, failing)
    message = refusal(write("a.parquet", "x"))
    assert f"a.parquet cannot be read: {'no magic bytes' if failing.args else 'OSError'} " in message


TWO = ["Hello boat", "Hello sea"]
FILES: dict[str, tuple[str, str | bytes]] = {
    "a blank last line": ("a.csv", "prompt,reference\nHello boat,hi\nHello sea,ho\n\n"),
    "blank lines": ("a.csv", "\nprompt,reference\n\nHello boat,hi\n  \nHello sea,ho\n"),
    "rows of commas": ("a.csv", "prompt,reference\nHello boat,hi\n,\nHello sea,ho\n,\n,\n"),
    "one column and blank lines": ("a.csv", "prompt\nHello boat\n\nHello sea\n\n"),
    "carriage returns": ("a.csv", "prompt,reference\r\nHello boat,hi\r\nHello sea,ho\r\n\r\n"),
    "spaces in the header": ("a.csv", "id , prompt\n1,Hello boat\n2,Hello sea\n"),
    "a byte-order mark in a table": ("a.csv", b"\xef\xbb\xbfprompt\nHello boat\nHello sea\n"),
    "blank lines among objects": ("a.jsonl", '\n{"prompt": "Hello boat"}\n\n{"prompt": "Hello sea"}\n\n'),
    "an array called lines": ("a.jsonl", '[\n{"prompt": "Hello boat"},\n{"prompt": "Hello sea"}\n]\n'),
    "lines called an array": ("a.json", '{"prompt": "Hello boat"}\n{"prompt": "Hello sea"}\n'),
    "packed lines": ("a.jsonl.gz", gzip.compress(b'{"prompt": "Hello boat"}\n{"prompt": "Hello sea"}')),
    "a packed array": ("a.json.gz", gzip.compress(b'[{"prompt": "Hello boat"}, {"prompt": "Hello sea"}]')),
    "a packed table": ("a.csv.GZ", gzip.compress(b"prompt\nHello boat\nHello sea\n")),
    "packed text": ("a.txt.gz", gzip.compress(b"Hello boat\nHello sea\n")),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_are_read_as_people_have_them(write: Write, kind: str) -> None:
    assert [item.prompt for item in read_dataset(write(*FILES[kind]))] == TWO


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prompt;reference\na;b\n", "line 1: the columns are parted by semicolons"),
        ("prompt\treference\na\tb\n", "line 1: the columns are parted by tabs"),
        ("\nprompt,answer, prompt\na,b,c\n", "line 2: the column 'prompt' stands twice"),
    ],
)
def test_a_table_whose_columns_cannot_be_told_is_refused(write: Write, content: str, said: str) -> None:
    assert said in refusal(write("a.csv", content))


def test_a_dialogue_in_place_of_a_prompt_is_refused_with_a_hint_that_helps(write: Write) -> None:
    path = write("a.jsonl", '{"prompt": [{"role": "user", "content": "Why?"}]}')
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert ("prompt is an object, not text" in caught.value.problem, caught.value.hint) == (
        True,
        "Write the text itself.",
    )


def test_a_long_field_is_read(write: Write) -> None:
    long = "word " * 60_000
    assert read_dataset(write("a.csv", f'prompt,reference\n"{long}",r\n'))[0].prompt == long


def test_what_is_too_long_is_refused_with_the_limit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_CHARACTERS", 1 << 20)
    monkeypatch.setattr(files, "MOST_BYTES", 4 << 20)
    long = "x" * ((1 << 20) + 1)
    assert "line 2: longer than 1 million characters" in refusal(write("a.csv", f"prompt\n{long}\n"))
    assert "line 1: longer than 1 million characters" in refusal(write("a.jsonl", f'{{"prompt": "{long}"}}'))
    assert "line 2: longer than 1 million characters" in refusal(write("a.txt", f"a\n{long}\n"))
    assert "holds more than 4 MiB" in refusal(write("a.txt.gz", gzip.compress(bytes(5 << 20))))


@pytest.mark.parametrize(("content", "said"), [(b"no gzip", "Not a gzipped file"), (b"", "empty")])
def test_a_damaged_pack_is_refused(write: Write, content: bytes, said: str) -> None:
    assert said in refusal(write("a.jsonl.gz", content))
    torn = gzip.compress(b'{"prompt": "a"}' * 99)[:-20]
    assert "cannot be read" in refusal(write("b.jsonl.gz", torn))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    assert "a.jsonl is a pipe, not a file." in refusal(str(tmp_path / "a.jsonl"))
