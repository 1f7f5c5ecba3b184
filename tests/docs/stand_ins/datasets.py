"""Stands in for the library `datasets` where the guides are run: a hub with the few rows that they read."""

from collections.abc import Iterator
from typing import Any

HUB: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("OpenAssistant/oasst2", "validation"): [
        {"parent_id": None, "role": "prompter", "lang": "en", "text": "How do tides work?"},
        {"parent_id": "1", "role": "assistant", "lang": "en", "text": "The moon pulls at the sea."},
        {"parent_id": None, "role": "prompter", "lang": "zh", "text": "潮汐是怎么回事?"},
        {"parent_id": "3", "role": "assistant", "lang": "zh", "text": "月亮吸引海水。"},
        {"parent_id": None, "role": "prompter", "lang": "zh", "text": "灯塔为什么会亮?"},
    ],
}


def load_dataset(path: str, split: str, **options: object) -> Iterator[dict[str, Any]]:
    """The rows of a data set of this hub."""
    return iter(HUB[path, split])
