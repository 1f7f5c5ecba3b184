"""Feature heads on disk, as far as they are known without their weights: config.json and a header."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from specdec_cli.errors import SpecdecError
from specdec_cli.resources import shipped_drafts

KIND, FORMAT = "specdec_feature_head", 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENS = "inner.lm_head.tokens"  # the ids of a head's reduced vocabulary
WHOLE, GRID = ".whole", ".grid"  # a matrix in 4 bits, see `four_bits`
SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
HINT = "Copy it again, or distil another with `specdec distill`."


@dataclass(frozen=True, slots=True)
class MadeFor:
    """What a head needs of its target.

    Attributes:
        name: of the target that it learned from.
        hidden_size: width of the target's hidden states.
        vocabulary: digest of the target's token strings and ids.
    """

    name: str
    hidden_size: int
    vocabulary: str


def head_folder(name: str) -> Path | None:
    """The folder that a draft's name stands for, if it is a shipped one or a feature head on this disk."""
    shipped = shipped_drafts().get(name)
    if shipped is not None:
        return shipped
    folder = Path(name).expanduser()
    return folder if is_feature_head(folder) else None


def is_feature_head(folder: Path) -> bool:
    """Whether a feature head lies there, by what its configuration says."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == KIND


def head_config(folder: Path) -> dict[str, Any]:
    """A head's configuration, checked: `made_for`, `layers`, `shape`, and `store` if it says so.

    Raises:
        SpecdecError: it is missing, damaged, or of another version.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        MadeFor(**config["made_for"])
        if config["format"] != FORMAT:
            problem = f"{folder} was made by another version of specdec, in format {config['format']}."
            raise SpecdecError(problem, "Distil it again with `specdec distill`.")
        new = {name: config["shape"][name] for name in SHAPE}
        return {**config, "shape": new, "layers": int(config["layers"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecdecError(f"{folder / CONFIG} is missing or damaged.", HINT) from error


def head_size(folder: Path, itemsize: int, on_cpu: bool) -> tuple[int, int]:
    """A head's number of weights, and the bytes that they take in memory.

    Args:
        folder: where it lies.
        itemsize: bytes of a weight that is a float.
        on_cpu: where 4 bits stay 4 bits.

    Raises:
        SpecdecError: the file is missing or damaged.
    """
    try:
        with safe_open(folder / WEIGHTS, "np") as file:
            names = file.offset_keys()
            numbers = {name: math.prod(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError) as error:
        raise SpecdecError(f"{folder / WEIGHTS} is missing or damaged.", HINT) from error
    pairs = sum(count for name, count in numbers.items() if name.endswith(WHOLE))
    grids = sum(count for name, count in numbers.items() if name.endswith(GRID))
    floats = sum(numbers.values()) - pairs - grids - numbers.get(TOKENS, 0)
    whole, ids = floats + 2 * pairs, 8 * numbers.get(TOKENS, 0)
    return whole, ids + (floats * itemsize + pairs + 2 * grids if on_cpu else whole * itemsize)
