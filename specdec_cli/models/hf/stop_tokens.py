"""Which ids end a text, by all that a model folder says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from specdec_cli.models.hf.tokenizer import Tokenizer


def stop_tokens(folder: Path, model: Any, tokenizer: Tokenizer) -> frozenset[int]:
    """The tokenizer's own end of text, and those of the generation settings or else of the configuration.

    transformers takes the configuration's where there are no generation settings at all; settings that are
    silent about the end leave it without one there, and with the configuration's here.

    Args:
        folder: of the model.
        model: with its `generation_config`.
        tokenizer: its own.
    """
    stated = _ids(getattr(model.generation_config, "eos_token_id", None))
    return tokenizer.stop_tokens | (stated or _of_configuration(folder))


def _of_configuration(folder: Path) -> frozenset[int]:
    """What the file says; a configuration's class has defaults, which are the class's and not the model's."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):  # of a kind that the configuration was not read from
        return frozenset()
    parts = (config, config.get("text_config")) if isinstance(config, dict) else ()
    return frozenset().union(*(_ids(part.get("eos_token_id")) for part in parts if isinstance(part, dict)))


def _ids(value: object) -> frozenset[int]:
    """One id, a list of ids, or nothing."""
    listed = value if isinstance(value, list | tuple) else [value]
    return frozenset(each for each in listed if type(each) is int and each >= 0)
