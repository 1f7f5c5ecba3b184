"""What a file may be, how large, and how its damage is told."""

import os
import socket
from dataclasses import dataclass, field

import pytest

from specdec_cli.errors import InputError
from specdec_cli.storage.reading import conform, parse_json, read_file, read_json, read_text, size_in_words

HINT = "Write it again."


@dataclass
class Row:
    name: str
    counts: list[int] = field(default_factory=list)
    share: float | None = None


def refusal(call, *arguments):
    with pytest.raises(InputError) as refused:
        call(*arguments)
    assert refused.value.exit_code == 2
    assert "\n" not in refused.value.problem
    return refused.value.problem


def test_a_file_up_to_the_limit_is_read_and_one_byte_more_is_not(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_file(tmp_path / "f", "The file", 5) == b"12345"
    assert "has more than 4 bytes" in refusal(read_file, tmp_path / "f", "The file", 4)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "f").write_bytes("\ufeffgrün".encode())
    assert read_text(tmp_path / "f", "The file", 100) == "grün"


@pytest.mark.parametrize(
    ("encoding", "says"), [("utf-16", "is UTF-16 text"), ("latin-1", "is not UTF-8 text")]
)
def test_other_encodings_are_named(tmp_path, encoding, says):
    (tmp_path / "f").write_text("grün", encoding=encoding)
    assert says in refusal(read_text, tmp_path / "f", "The file", 100)


def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    os.mkfifo("pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    assert "pipe is a pipe, not a file" in refusal(read_file, tmp_path / "pipe", "The file", 9)
    assert "is a folder" in refusal(read_file, tmp_path, "The file", 9)
    assert "is a device" in refusal(read_file, tmp_path / "../../../../../../../dev/zero", "The file", 9)
    assert "cannot be read" in refusal(read_file, tmp_path / "socket", "The file", 9)
    listening.close()


@pytest.mark.parametrize("name", ["none", "nul\0", "x" * 5000])
def test_a_path_that_leads_nowhere_is_told_in_one_line(tmp_path, name):
    assert "cannot be read" in refusal(read_file, tmp_path / name, "The file", 9)


def test_the_home_folder_of_nobody_is_told_in_one_line(tmp_path):
    path = type(tmp_path)("~nobody-of-this-name/x")
    assert (
        refusal(read_file, path, "The file", 9) == "The home folder in ~nobody-of-this-name/x is not known."
    )


def test_of_a_long_path_the_end_is_shown(tmp_path):
    path = tmp_path.joinpath(*["folder"] * 40, "file.json")
    assert "folder/file.json cannot be read" in refusal(read_file, path, "The file", 9)
    assert len(refusal(read_file, path, "The file", 9)) < 200


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    assert read_file(tmp_path / "link", "The file", 9) == b"x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"counts": [1]}', "name is missing"),
        ('{"name": 3}', "name: expected str, got int"),
        ('{"name": "x", "counts": [1, "2"]}', "counts[1]: expected int, got str"),
        ('{"name": "x", "counts": [1, 2.5]}', "counts[1]: expected int, got float"),
        ('{"name": "x", "counts": null}', "counts: expected array, got null"),
        ('{"name": "x", "share": "0.5"}', "share: expected float | null, got str"),
        ("[]", "expected object, got array"),
        ("", "not valid JSON"),
        ('{"name": "x"', "not valid JSON"),
        ('{"name": "x"} {}', "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        (r'{"\ud800": 1, "name": "x", "counts": [1]}', "no Unicode"),
        ('{"name": "x", "counts": [' + "9" * 5000 + "]}", "not valid JSON"),
    ],
)
def test_json_that_is_not_as_its_schema_says_is_told_by_place(text, says):
    problem = refusal(parse_json, text, Row, "rows.jsonl, line 3", HINT)
    assert problem.startswith("rows.jsonl, line 3: ")
    assert says in problem


def test_json_as_its_schema_says_is_read_and_what_is_beyond_it_left_out(tmp_path):
    (tmp_path / "f").write_text('{"name": "x", "counts": [1], "share": 2, "more": {}}')
    assert read_json(tmp_path / "f", Row, "The row", 100, HINT) == Row("x", [1], 2.0)
    assert conform({"a": 1}, dict[str, float], "here", HINT) == {"a": 1.0}


@pytest.mark.parametrize(
    ("count", "words"), [(100, "100 bytes"), (1 << 10, "1 KiB"), (1 << 26, "64 MiB"), (3 << 29, "1.5 GiB")]
)
def test_sizes_in_words(count, words):
    assert size_in_words(count) == words
