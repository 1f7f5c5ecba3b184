"""Data sets: what each kind of file gives, and what is refused, with the place."""

import gzip
import importlib
import io
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from specdec_cli.errors import InputError
from specdec_cli.evaluation import datasets, files
from specdec_cli.evaluation.datasets import NAMED, STREAMS, Item, introduction, read_dataset
from specdec_cli.resources import data_folder

SHARED = Path(__file__).parents[3] / "shared" / "data"

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def written(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def refusal(name: str, count: int | None = None, start: int = 0) -> str:
    """The problem and the hint, as the user reads them."""
    with pytest.raises(InputError) as refused:
        read_dataset(name, count, start)
    return f"{refused.value.problem} {refused.value.hint}"


def library(monkeypatch: pytest.MonkeyPatch, rows: object) -> list[dict[str, Any]]:
    """Stands in for the `datasets` library; what it was asked for."""
    asked: list[dict[str, Any]] = []

    def load_dataset(**options: object) -> Any:
        asked.append(options)
        if isinstance(rows, Exception):
            raise rows
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    return asked


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(datasets, "_answers", lambda endpoint: True)


# The shipped prompts


def test_the_shipped_prompts_are_the_default() -> None:
    items = read_dataset()
    assert items == read_dataset("prompts")
    assert items[0].id == "writing-1"
    assert len(items) >= 84
    assert len({item.id for item in items}) == len({item.prompt for item in items}) == len(items)


def test_the_shipped_prompts_are_as_documented() -> None:
    items = read_dataset()
    counts = Counter(item.category for item in items)
    answered = Counter(item.category for item in items if item.reference)
    documented = (data_folder() / "README.md").read_text(encoding="utf-8")
    for category, count in counts.items():
        assert f"| {category} | {count} | {answered[category]} |" in documented
    assert f"| {len(items)} prompts" in documented
    assert counts["chinese"] >= 10
    assert min(counts.values()) >= 3


def test_ids_are_a_category_and_a_number() -> None:
    short = {"summarization": "summary", "copying": "copy", "rewriting": "rewrite"}
    seen: Counter[str] = Counter()
    for item in read_dataset():
        seen[item.category] += 1
        assert item.id == f"{short.get(item.category, item.category)}-{seen[item.category]}"


def test_long_prompts_are_long_and_last() -> None:
    items = read_dataset()
    last = items[-4:]
    assert [item.category for item in items].count("long") == len(last)
    assert all(item.category == "long" and len(item.prompt) >= 6000 and item.reference for item in last)


def test_chinese_prompts_are_chinese() -> None:
    for item in read_dataset():
        chinese = sum("\u4e00" <= character <= "\u9fff" for character in item.prompt)
        assert (chinese > 5) == (item.category == "chinese")


def test_the_shipped_file_has_one_object_a_line() -> None:
    text = (data_folder() / "prompts.jsonl").read_text(encoding="utf-8")
    assert text.splitlines() == text.split("\n")[:-1]  # resources.shipped_prompts uses the former
    for line in text.splitlines():
        assert {"id", "category", "prompt"} <= json.loads(line).keys() <= {*Item.__dataclass_fields__}


# Files


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
    asked = library(monkeypatch, [{"prompt": None, "input": "one"}, {"prompt": "two", "input": None}])
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
    ("field", "fields"),
    [
        ("reference", ("reference", "references", "answer", "output", "canonical_solution", "target")),
        ("id", ("id", "question_id", "task_id")),
        ("category", ("category", "dataset")),
    ],
)
def test_the_first_field_present_wins(write: Write, field: str, fields: tuple[str, ...]) -> None:
    records = [
        {"prompt": "p"} | dict.fromkeys(fields[:n]) | {name: f"of {name}" for name in fields[n:][::-1]}
        for n in range(len(fields))
    ]
    items = read_dataset(write("a.jsonl", "\n".join(map(json.dumps, records))))
    assert [getattr(item, field) for item in items] == [f"of {name}" for name in fields]


def test_of_a_list_the_first_is_taken(write: Write) -> None:
    path = write(
        "a.jsonl", '{"turns": ["one", "two"], "reference": ["r", "s"]}\n{"prompt": "a", "reference": []}'
    )
    assert read_dataset(path) == [Item("1", "one", "", "r"), Item("2", "a")]


def test_choices_are_part_of_the_prompt(write: Write) -> None:
    path = write("a.jsonl", '{"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}')
    assert read_dataset(path) == [Item("1", "2 + 2?\nA. 3\nB. 4", "", "B")]


def test_count_and_start(write: Write) -> None:
    path = write("a.txt", "a\nb\nc\nd\n")
    assert [item.prompt for item in read_dataset(path, 2, 1)] == ["b", "c"]
    assert [item.prompt for item in read_dataset(path, start=3)] == ["d"]


# Refusals


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


# The library and the hub


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", ["a.parquet", "gsm8k"])
def test_without_the_library(write: Write, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    importing = importlib.import_module

    def missing(module: str) -> Any:
        if module == "datasets":
            raise ModuleNotFoundError(module)
        return importing(module)

    monkeypatch.setattr(importlib, "import_module", missing)
    message = refusal(write(name, "") if name.endswith(".parquet") else name)
    assert "`datasets`" in message
    assert "specdec-cli[eval]" in message


@pytest.mark.parametrize("failing", [ValueError("no magic bytes\nmore"), OSError()])
def test_what_the_library_cannot_read(
    write: Write, monkeypatch: pytest.MonkeyPatch, failing: Exception
) -> None:
    library(monkeypatch, failing)
    message = refusal(write("a.parquet", "x"))
    assert f"a.parquet cannot be read: {'no magic bytes' if failing.args else 'OSError'} " in message


@pytest.mark.parametrize("name", NAMED)
def test_offline_a_name_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    begun = time.perf_counter()
    message = refusal(name, 1)
    assert time.perf_counter() - begun < 1
    assert "HF_HUB_OFFLINE is set. Give a local .jsonl" in message


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*request: object, timeout: float) -> None:
        assert timeout == datasets.SECONDS_TO_ANSWER
        time.sleep(1)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(datasets, "SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr(datasets, "urlopen", hang)
    begun = time.perf_counter()
    assert "gsm8k comes from https://huggingface.co, and it does not answer." in refusal("gsm8k")
    assert time.perf_counter() - begun < 0.9


@pytest.fixture
def server() -> Iterator[Callable[[int], str]]:
    """Starts a hub that answers everything with that status, and gives its address."""
    started = []

    def start(status: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, *message: object) -> None:
                pass

        hub = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(hub)
        return f"http://127.0.0.1:{hub.server_port}"

    yield start
    for hub in started:
        hub.shutdown()
        hub.server_close()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (403, True), (503, False)])
def test_whether_a_hub_answers(server: Callable[[int], str], status: int, answers: bool) -> None:
    assert datasets._answers(server(status)) == answers


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "no address"])
def test_an_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert f"c4 comes from {endpoint}, and it does not answer." in refusal("c4", 1)


@pytest.mark.usefixtures("online")
def test_a_name_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = library(monkeypatch, iter([{"question": "q", "answer": "a"}]))
    assert read_dataset("gsm8k") == [Item("1", "q", "", "a")]
    expected = {"path": "openai/gsm8k", "name": "main", "revision": None, "split": "test", "streaming": False}
    assert asked == [expected]


@pytest.mark.usefixtures("online")
def test_a_stream_is_read_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield from ({"text": text} for text in ("short", "a" * 200, "b" * 300))
        pytest.fail("read too far")

    asked = library(monkeypatch, rows())
    assert [item.id for item in read_dataset("openwebtext", 2)] == ["2", "3"]
    assert asked[0]["revision"] == "refs/convert/parquet"
    assert asked[0]["path"] == "Skylion007/openwebtext"


@pytest.mark.usefixtures("online")
def test_spec_bench_is_a_file_of_its_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"question_id": 81, "category": "writing", "turns": ["a", "b"]},
        {"question_id": 161, "category": "qa", "turns": ["who?"], "reference": ["he", "him"]},
        {"question_id": 401, "category": "rag", "turns": ["where?"], "reference": [["here", "there"]]},
    ]
    asked = []

    def urlopen(request: Any, timeout: float) -> Any:
        asked.append(request.full_url)
        return io.BytesIO("\n".join(map(json.dumps, rows)).encode() + b"\n")

    monkeypatch.setattr(datasets, "urlopen", urlopen)
    items = read_dataset("spec-bench")
    expected = [
        Item("81", "a", "writing"),
        Item("161", "who?", "qa", "he"),
        Item("401", "where?", "rag", "here"),
    ]
    assert items == expected
    assert [item.extra for item in items] == [
        {"turns": ["a", "b"]},
        {"references": ["he", "him"]},
        {"references": ["here", "there"]},
    ]
    assert asked[0].endswith("/question.jsonl")


@pytest.mark.usefixtures("online")
def test_an_address_that_gives_too_much_is_refused_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_BYTES", 20)
    monkeypatch.setattr(datasets, "urlopen", lambda *_, **__: io.BytesIO(b'{"prompt": "a"}\n' * 2))
    assert "spec-bench has more than 20 bytes at https://" in refusal("spec-bench")


@pytest.mark.usefixtures("online")
def test_an_address_that_breaks_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(request: Any, timeout: float) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr(datasets, "urlopen", urlopen)
    assert "spec-bench cannot be fetched" in refusal("spec-bench")


@pytest.mark.usefixtures("online")
def test_replies_are_no_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, [{"text": "a", "parent_id": None}, {"text": "b", "parent_id": "1"}])
    assert read_dataset("oasst") == [Item("1", "a")]


def test_a_stream_is_not_read_whole() -> None:
    assert {"c4", "openwebtext"} == STREAMS
    assert "c4 is too long to be read whole. Say how many" in refusal("c4")


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


def test_a_hubs_data_set_with_twins_is_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "_answers", lambda _: True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    library(monkeypatch, [{"id": "a", "article": "x", "highlights": "h"}, {"id": "a", "article": "y"}])
    items = read_dataset("cnn-dailymail", 2)
    assert [item.id for item in items] == ["a", "a#2"]
    assert items[0].reference == "h"


# What belongs together

JOINED = {
    "Alpaca": (
        {"instruction": "Translate to French.", "input": "The sea is calm.", "output": "La mer est calme."},
        "Translate to French.\n\nThe sea is calm.", ["La mer est calme."],
    ),
    "Alpaca without an input": ({"instruction": "Sing.", "input": "", "output": "La."}, "Sing.", ["La."]),
    "Dolly": (
        {"instruction": "When?", "context": "It was 1815.", "response": "1815", "category": "closed_qa"},
        "When?\n\nIt was 1815.", ["1815"],
    ),
    "SQuAD": (
        {"id": "x", "title": "T", "context": "It was 1815.", "question": "When?",
         "answers": {"text": ["1815", "in 1815", "1815"], "answer_start": [7, 4, 7]}},
        "It was 1815.\n\nWhen?", ["1815", "in 1815"],
    ),
    "BoolQ": (
        {"question": "is it?", "passage": "It is.", "answer": True}, "It is.\n\nis it?", ["True"],
    ),
    "MMLU": (
        {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}, "2 + 2?\nA. 3\nB. 4", ["B"],
    ),
    "ARC": (
        {"question": "Why?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "1"},
        "Why?\n1. a\n2. b", ["1"],
    ),
    "MedQA": ({"question": "W?", "options": {"A": "a", "B": "b"}, "answer": "b"}, "W?\nA. a\nB. b", ["b"]),
    "RACE": (
        {"article": "A story.", "question": "Who?", "options": ["he", "she"], "answer": "A"},
        "A story.\n\nWho?\nA. he\nB. she", ["A"],
    ),
    "options as objects": (
        {"question": "W?", "options": [{"label": "X", "text": "he"}, {"text": "I"}]}, "W?\nX. he\nB. I", [],
    ),
    "an instruction and a question": ({"instruction": "Do.", "question": "Why?"}, "Do.\n\nWhy?", []),
    "an instruction and a text": ({"instruction": "Shorten.", "text": "Long."}, "Shorten.\n\nLong.", []),
    "OpenOrca": (
        {"system_prompt": "You know.", "question": "Why?", "response": "So."}, "You know.\n\nWhy?", ["So."],
    ),
    "LongBench": ({"input": "Who?", "context": "A story.", "answers": ["he"]}, "A story.\n\nWho?", ["he"]),
    "several contexts": ({"question": "Who?", "context": ["One.", "Two."]}, "One.\nTwo.\n\nWho?", []),
    "a prompt and a context": ({"prompt": "Who?", "context": "A story."}, "A story.\n\nWho?", []),
    "a prompt that holds all": ({"prompt": "A story.\nWho?", "context": "A story."}, "A story.\nWho?", []),
    "a prompt made of the rest": (
        {"prompt": "### Do: x\n### With: y", "instruction": "x", "input": "y"}, "### Do: x\n### With: y", [],
    ),
    "Alpaca with its rows written out": (
        {"instruction": "Give tips.", "input": "", "output": "Eat.",
         "text": "Below is a task.\n\n### Instruction:\nGive tips.\n\n### Response:\nEat."},
        "Give tips.", ["Eat."],
    ),
    "Alpaca written out with an input": (
        {"instruction": "Give tips.", "input": "for boats", "output": "Paint.",
         "text": "### Instruction:\nGive tips.\n\n### Input:\nfor boats\n\n### Response:\nPaint."},
        "Give tips.\n\nfor boats", ["Paint."],
    ),
    "a text that holds the instruction's word": (
        {"instruction": "Shorten", "text": "Shorten nothing in here."},
        "Shorten\n\nShorten nothing in here.", [],
    ),
    "an input that the instruction names by chance": (
        {"instruction": "Is it a cat or a dog?", "input": "cat"}, "Is it a cat or a dog?\n\ncat", [],
    ),
    "a short passage within the question": (
        {"question": "What is 10 in 100?", "context": "10"}, "10\n\nWhat is 10 in 100?", [],
    ),
    "an input that stands in a line of the instruction": (
        {"instruction": "Shorten this:\nLong.", "input": "Long."}, "Shorten this:\nLong.", [],
    ),
    "a prompt, its system prompt and its input": (
        {"prompt": "Why?", "system": "Be brief.", "input": "The sea."}, "Be brief.\n\nWhy?\n\nThe sea.", [],
    ),
    "a prompt and an instruction": (
        {"prompt": "Hello.", "instruction": "Translate."}, "Translate.\n\nHello.", [],
    ),
    "turns about a document": (
        {"turns": ["Who?", "When?"], "document": "A story."}, "A story.\n\nWho?", [],
    ),
    "a prompt and its completion": ({"prompt": "Why?", "completion": "So."}, "Why?", ["So."]),
    "CNN": ({"article": "News.", "highlights": "Short.", "id": "1"}, "News.", ["Short."]),
    "references of one turn": ({"turns": ["a"], "reference": ["r", "s", "r"]}, "a", ["r", "s"]),
    "references of each turn": ({"turns": ["a", "b"], "reference": ["r", "s"]}, "a", ["r"]),
    "several of each turn": ({"turns": ["a", "b"], "reference": [["r", "q"], ["s"]]}, "a", ["r", "q"]),
    "several of one turn": ({"turns": ["a"], "reference": [["r", "q"]]}, "a", ["r", "q"]),
    "empty lists": ({"turns": ["a"], "reference": [[]]}, "a", []),
    "numbers": ({"question": "a", "answers": [1, 2.5]}, "a", ["1", "2.5"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", JOINED)
def test_fields_that_belong_together_are_joined_and_all_references_kept(write: Write, kind: str) -> None:
    row, prompt, references = JOINED[kind]
    item = read_dataset(write("a.jsonl", json.dumps(row)))[0]
    kept = item.extra.get("references", [] if item.reference is None else [item.reference])
    assert (item.prompt, kept) == (prompt, references)
    assert item.reference == (references[0] if references else None)


def test_the_turns_of_a_dialogue_are_kept(write: Write) -> None:
    item = read_dataset(write("a.jsonl", '{"turns": ["one", "two"]}'))[0]
    assert (item.prompt, item.extra) == ("one", {"turns": ["one", "two"]})


def test_the_first_prompt_is_shown_in_one_line(write: Write) -> None:
    items = read_dataset(write("a.txt", f"{'word ' * 100}end\nb\n"))
    shown = introduction(items)
    assert shown.startswith("First prompt of 2 (503 characters): word word")
    assert shown.endswith("word end")
    assert len(shown) < 250
    assert introduction(items[1:]) == "First prompt (1 characters): b"


# Files that people have

TWO = ["Hello boat", "Hello sea"]
FILES = {
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
