"""Fields of a row: which are the prompt together, and which are good answers."""

import json

import pytest
from dataset_files import Write

from specdec_cli.evaluation.datasets import Item, read_dataset


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
