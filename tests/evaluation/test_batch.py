"""A file of results is valid whenever the run stops, and is gone on from where it stopped."""

import json

import pytest

from specdec_cli.errors import InputError
from specdec_cli.evaluation.batch import NAMES, ResultsFile, run_batch
from specdec_cli.evaluation.datasets import Item, read_dataset
from specdec_cli.evaluation.results import read_answers

ITEMS = [Item("a", "one?"), Item("b", "two?", "numbers", "2"), Item("c", "三?", reference="3")]
SETTINGS = {"models": "x", "stop": ("a", "b")}


class Silent:
    def __init__(self):
        self.told = []

    def begin(self, total):
        self.told.append(total)

    def advance(self, what):
        self.told.append(what)


def run(path, answer=lambda prompt: {"prediction": prompt.upper(), "rounds": 1}, names="plain", items=ITEMS):
    progress = Silent()
    run_batch(items, answer, ResultsFile(path, NAMES[names], SETTINGS), progress)
    return progress.told


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_answers_come_out_in_order_with_what_was_known_of_the_prompts(tmp_path, name):
    path = tmp_path / "new" / name
    assert run(path) == [3, "a", "b", "c"]
    found = read_answers(path)
    assert [(each.id, each.prediction, each.reference, each.dataset) for each in found] == [
        ("a", "ONE?", None, ""),
        ("b", "TWO?", "2", "numbers"),
        ("c", "三?", "3", ""),
    ]
    assert [each.line for each in found] == ([2, 3, 4] if name == "r.json" else [1, 2, 3])


def test_the_papers_field_names_can_be_written(tmp_path):
    run(tmp_path / "r.json", names="specem")
    record = json.loads((tmp_path / "r.json").read_text())[1]
    assert (record["instruction"], record["output"], record["spec_pred"]) == ("two?", "2", "TWO?")


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_the_file_is_valid_after_every_answer(tmp_path, name):
    path = tmp_path / name
    seen = []

    def answer(prompt):
        if path.exists():
            seen.append(len(read_answers(path)))
            if name == "r.json":
                json.loads(path.read_text())
        return {"prediction": prompt}

    run(path, answer)
    assert seen == [1, 2]


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_a_run_killed_at_any_byte_goes_on_and_ends_the_same(tmp_path, name):
    whole = tmp_path / name
    run(whole)
    content = whole.read_bytes()
    records = [json.dumps(each.record, ensure_ascii=False).encode() for each in read_answers(whole)]
    ends = [content.index(record) + len(record) for record in records]
    torn = tmp_path / f"torn-{name}"
    for size in range(0, len(content), 2):
        torn.write_bytes(content[:size])
        asked: list[str] = []

        def answer(prompt, asked=asked):
            asked.append(prompt)
            return {"prediction": prompt.upper(), "rounds": 1}

        run(torn, answer)
        assert torn.read_bytes() == content
        assert len(asked) == sum(size < end for end in ends), size
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_nothing_is_asked_twice(tmp_path):
    run(tmp_path / "r.json", items=ITEMS[:2])
    asked = []

    def answer(prompt):
        asked.append(prompt)
        return {"prediction": "x"}

    run(tmp_path / "r.json", answer)
    assert asked == ["三?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"id": "a", "prompt": "one?"}]', "no result of this command"),
        ('[{"id":"a","prompt":"one?","prediction":"x","settings":{"models":"y"}}]', "models, stop"),
        ('[{"id":"a","prompt":"one?","prediction":"x","settings":7}]', "no result of this command"),
        ("notes of mine", "line 1: not valid JSON"),
        ('{\n  "name": "package",\n  "version": 1\n}\n', "line 1: not valid JSON"),
        ('{"name": "package",\n "version": 1', "line 1: not valid JSON"),
        ("[section]\nkey = value\n", "line 1: not valid JSON"),
        ("[\n1, 2\n3]", "no result of this command"),
        ("[\n  {\n", "not valid JSON"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_a_file_of_something_else_is_left_alone(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        run(path)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_another_prompt_under_an_id_is_refused_and_its_answer_kept(tmp_path, name):
    path = tmp_path / name
    run(path, items=[Item("a", "else")])
    before = path.read_bytes()
    with pytest.raises(InputError, match="another prompt"):
        run(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
@pytest.mark.parametrize("number", [0, 1])
def test_damage_before_the_last_answer_is_told_and_costs_none(tmp_path, name, number):
    path = tmp_path / name
    run(path)
    content = path.read_bytes()
    at = [place for place in range(len(content)) if content.startswith(b'"settings"', place)][number]
    for bad in (b"\x00", b"\xff"):
        damaged = content[:at] + bad + content[at + 1 :]
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not valid JSON|not UTF-8") as caught:
            run(path)
        assert bad == b"\xff" or f"line {number + (2 if name == 'r.json' else 1)}:" in caught.value.problem
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_what_somebody_wrote_behind_the_answers_is_not_lost(tmp_path, name):
    path = tmp_path / name
    run(path)
    path.write_text(path.read_text() + "notes of mine\nand more\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="not valid JSON"):
        run(path)
    assert path.read_bytes() == before


def test_prompts_that_cannot_be_answered_are_named_before_the_first_answer(tmp_path):
    def require(prompt):
        if prompt != "two?":
            raise InputError(f"The prompt {prompt} is too long.", "Shorten it.")

    asked: list[str] = []

    def answer(prompt):
        asked.append(prompt)
        return {"prediction": "x"}

    file = ResultsFile(tmp_path / "r.json", NAMES["plain"], SETTINGS)
    with pytest.raises(InputError) as caught:
        run_batch(ITEMS, answer, file, Silent(), require)
    assert caught.value.problem == "2 of the prompts cannot be answered (a, c). The prompt one? is too long."
    assert caught.value.hint == "Nothing was answered. Shorten it."
    assert asked == []


def test_two_prompts_under_one_id_are_refused(tmp_path):
    with pytest.raises(InputError, match="id 'a'"):
        run(tmp_path / "r.json", items=[ITEMS[0], ITEMS[0]])


def test_what_tests_need_travels_with_the_prompt(tmp_path):
    source = tmp_path / "p.jsonl"
    source.write_text(json.dumps({"task_id": "t", "prompt": "def f():", "test": "T", "entry_point": "f"}))
    run(tmp_path / "r.json", items=read_dataset(str(source)))
    assert read_answers(tmp_path / "r.json")[0].record["test"] == "T"


def test_a_file_that_was_taken_away_between_two_runs_is_begun_anew(tmp_path):
    file = ResultsFile(tmp_path / "r.json", NAMES["plain"], SETTINGS)
    for _ in range(2):
        with file:
            assert not file.has(ITEMS[0])
            file.add(ITEMS[0], {"prediction": "x"})
            assert file.has(ITEMS[0])
        assert len(read_answers(tmp_path / "r.json")) == 1
        (tmp_path / "r.json").unlink()
