"""What is told of two vocabularies."""

from types import SimpleNamespace
from typing import Any

from specdec_cli.reporting.models import vocabulary_lines


def test_tokens_and_parts_that_differ_are_named_and_a_part_that_is_missing_is_none():
    report: Any = SimpleNamespace(
        compatible=True, summary="They share 9 tokens.", differing=((3, "a", "b"),),
        special=(("eos_token", "</s>", None),),
    )  # fmt: skip
    assert vocabulary_lines("large", "small", report).split("\n") == [
        "small can draft for large: They share 9 tokens.",
        "  id 3: 'a' to the target, 'b' to the draft",
        "  eos_token: '</s>' of the target, none of the draft",
    ]
