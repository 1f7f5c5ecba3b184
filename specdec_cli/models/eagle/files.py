"""EAGLE heads on disk, as far as they are known without their weights: config.json and a header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.safetensors_headers import Stored, read_header
from specdec_cli.models.hf.small_files import damaged, read_model_json
from specdec_cli.models.quantization.int4_format import GRID, GROUP, WHOLE
from specdec_cli.resources import shipped_drafts
from specdec_cli.storage.reading import conform

KIND, FORMAT = "specdec_feature_head", 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENS = "inner.lm_head.tokens"  # the ids of a head's reduced vocabulary
FLOATS = ("F16", "BF16", "F32", "F64")
SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
Size = Annotated[int, Meta(ge=1, le=1 << 21)]
HINT = "Copy it again, or distil another with `specdec distill`."


@dataclass(frozen=True, slots=True)
class MadeFor:
    """What a head needs of its target.

    Attributes:
        name: of the target that it learned from.
        hidden_size: numbers in each of the target's hidden states.
        vocabulary: digest of the target's token strings and ids.
    """

    name: str
    hidden_size: Size
    vocabulary: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a head's layers, as transformers has it."""

    hidden_size: Size
    intermediate_size: Size
    num_attention_heads: Size
    num_key_value_heads: Size
    head_dim: Size
    max_position_embeddings: Annotated[int, Meta(ge=1, le=1 << 31)]


@dataclass(frozen=True, slots=True)
class _HeadConfig:
    """What config.json says of a head."""

    format: Literal[1]
    made_for: MadeFor
    layers: Annotated[int, Meta(ge=1, le=256)]
    shape: _Shape
    store: Literal["float16", "int4"] = "float16"


def head_folder(name: str) -> Path | None:
    """The folder that a draft's name stands for, if it is a shipped one or an EAGLE head on this disk."""
    shipped = shipped_drafts().get(name)
    if shipped is not None:
        return shipped
    try:
        folder = Path(name).expanduser()
    except RuntimeError:  # ~NOBODY
        return None
    return folder if is_eagle_head(folder) else None


def is_eagle_head(folder: Path) -> bool:
    """Whether an EAGLE head lies there, by what its configuration says."""
    try:
        config = read_model_json(folder / CONFIG, dict[str, Any])
    except SpecdecError:
        return False
    return config.get("model_type") == KIND


def head_config(folder: Path) -> dict[str, Any]:
    """A head's configuration, checked: `made_for`, `layers`, `shape`, and `store` if it says so.

    Raises:
        InputError: it is missing, damaged, or of another version.
    """
    path = folder / CONFIG
    stated = read_model_json(path, dict[str, Any], HINT, said="is missing or damaged")
    if type(stated.get("format")) is int and stated["format"] != FORMAT:
        problem = f"{folder} was made by another version of specdec, in format {stated['format']}."
        raise InputError(problem, "Distil it again with `specdec distill`.")
    try:
        config = conform(stated, _HeadConfig, f"{path} is missing or damaged", HINT)
    except InputError as error:
        raise InputError(error.problem, HINT) from error
    shape = config.shape
    if shape.num_attention_heads % shape.num_key_value_heads:
        why = f"{shape.num_attention_heads} heads cannot share {shape.num_key_value_heads} heads of keys"
        raise damaged(path, why, HINT)
    if shape.head_dim % 2 or shape.hidden_size != config.made_for.hidden_size:
        raise damaged(path, "its shape is not that of its target's hidden states", HINT)
    sizes = asdict(shape)
    return {**stated, "shape": {name: sizes[name] for name in SHAPE}, "layers": config.layers}


def head_size(folder: Path, itemsize: int, on_cpu: bool) -> tuple[int, int]:
    """A head's number of weights, and the bytes that they take in memory.

    Args:
        folder: where it lies.
        itemsize: bytes of a weight that is a float.
        on_cpu: where 4 bits stay 4 bits.

    Raises:
        InputError: the file is missing or damaged.
    """
    numbers = {name: tensor.numbers for name, tensor in head_tensors(folder).items()}
    pairs = sum(count for name, count in numbers.items() if name.endswith(WHOLE))
    grids = sum(count for name, count in numbers.items() if name.endswith(GRID))
    floats = sum(numbers.values()) - pairs - grids - numbers.get(TOKENS, 0)
    whole, ids = floats + 2 * pairs, 8 * numbers.get(TOKENS, 0)
    return whole, ids + (floats * itemsize + pairs + 2 * grids if on_cpu else whole * itemsize)


def head_tensors(folder: Path) -> dict[str, Stored]:
    """What the header of a head's weights says, checked against its configuration.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
    """
    path = folder / WEIGHTS
    try:
        tensors = dict(read_header(path, HINT).tensors)
    except SpecdecError as error:
        raise InputError(f"{path} is missing or damaged: {_reason(error, path)}", HINT) from error
    for name, tensor in tensors.items():
        _require_kind(path, name, tensor, tensors)
    if TOKENS not in tensors:
        raise InputError(f"{path} is missing or damaged: it has no {TOKENS}.", HINT)
    config = head_config(folder)
    shape = config["shape"]
    hidden = shape["hidden_size"]
    least = (
        config["layers"]
        * hidden
        * max(shape["num_attention_heads"] * shape["head_dim"], shape["intermediate_size"])
    )
    stored = sum((2 if name.endswith(WHOLE) else 1) * tensor.numbers for name, tensor in tensors.items())
    if least > stored:  # so that nothing is built that no file fills
        raise InputError(f"The weights in {folder} do not fit its {CONFIG}.", HINT)
    return tensors


def _require_kind(path: Path, name: str, tensor: Stored, tensors: Mapping[str, Stored]) -> None:
    """Check the number format of a tensor, and that a matrix in 4 bits has its other half."""
    why = ""
    if name == TOKENS:
        why = "" if tensor.dtype in ("I64", "I32") and len(tensor.shape) == 1 else "is no list of ids"
    elif name.endswith((WHOLE, GRID)):
        stem = name.removesuffix(WHOLE).removesuffix(GRID)
        whole, grid = tensors.get(stem + WHOLE), tensors.get(stem + GRID)
        if whole is None or grid is None:
            why = "lacks the other half of its matrix"
        elif not _is_matrix(whole, grid):
            why = "is no matrix in 4 bits"
    elif tensor.dtype not in FLOATS:
        why = f"holds {tensor.dtype}, not floats"
    if why:
        raise InputError(f"{path} is missing or damaged: {name} {why}.", HINT)


def _is_matrix(whole: Stored, grid: Stored) -> bool:
    """Whether these are bytes of two numbers each, (N, K / 2), and their grid, (N, K / 32, 2)."""
    if whole.dtype != "U8" or grid.dtype not in FLOATS or len(whole.shape) != 2 or not whole.numbers:
        return False
    rows, pairs = whole.shape
    return 2 * pairs % GROUP == 0 and grid.shape == (rows, 2 * pairs // GROUP, 2)


def _reason(error: SpecdecError, path: Path) -> str:
    return error.problem.removeprefix(f"{path} is damaged: ").removeprefix(f"{path} ")
