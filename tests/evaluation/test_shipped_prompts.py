"""The shipped prompts are as their documentation says."""

import json
from collections import Counter

from specdec_cli.evaluation.datasets import Item, read_dataset
from specdec_cli.resources import data_folder


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
