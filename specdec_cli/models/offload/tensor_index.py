"""Where every tensor of a checkpoint lies on the disk, from the headers of its files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.checkpoint import INDEX, WEIGHTS, Index, safetensors_files, weight_bytes
from specdec_cli.models.hf.safetensors_headers import Stored, read_header
from specdec_cli.models.hf.small_files import read_model_json
from specdec_cli.models.hf.unused_tensors import AGAIN

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
PIECE = 8 << 20


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """One tensor in a file.

    Attributes:
        file: that holds it.
        start: of its first byte, from the beginning of the file.
        shape: its shape.
        dtype: its number format.
    """

    file: Path
    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """Of its bytes: one past the last."""
        return self.start + self.numbers * self.dtype.itemsize


def read_locations(folder: Path) -> dict[str, TensorLocation]:
    """The location of every tensor in the folder's safetensors files, by name.

    Raises:
        InputError: the weights are of another kind of file, or of an unusual number format.
        InputError: a file is missing or cut short, or the index promises what its files do not hold.
    """
    files = safetensors_files(folder)
    if not files:
        weight_bytes(folder, torch.float32)  # raises if there are no weights at all
        problem = f"The weights in {folder} are pickled, and layers cannot be read out of such files."
        raise InputError(problem, "Save the model as safetensors, or leave out --offload.")
    locations: dict[str, TensorLocation] = {}
    for file in files:
        found = file_locations(file)
        twice = locations.keys() & found.keys()
        if twice:
            raise InputError(f"{folder} holds {min(twice)} in two files.", AGAIN)
        locations |= found
    _require_honest_index(folder, locations)
    return locations


def file_locations(file: Path) -> dict[str, TensorLocation]:
    """The location of every tensor in one file.

    Raises:
        InputError: a number format that is not streamed.
        InputError: the file is damaged.
    """
    header = read_header(file)
    return {name: _location(file, header.data, name, entry) for name, entry in header.tensors.items()}


def _location(file: Path, data: int, name: str, entry: Stored) -> TensorLocation:
    if entry.dtype not in DTYPES:
        problem = f"{file} holds {name} as {entry.dtype}, and such numbers are not streamed."
        raise InputError(problem, "Choose the model's unquantised checkpoint, or leave out --offload.")
    return TensorLocation(file, data + entry.data_offsets[0], entry.shape, DTYPES[entry.dtype])


def _require_honest_index(folder: Path, locations: Mapping[str, TensorLocation]) -> None:
    index = folder / INDEX
    if not index.is_file() or (folder / WEIGHTS).is_file():
        return
    for name, file in read_model_json(index, Index).weight_map.items():
        if name not in locations or locations[name].file.name != file:
            problem = f"{index} is damaged: {file} does not hold {name}, which it lists there."
            raise InputError(problem, AGAIN)


def read_tensor(location: TensorLocation, dtype: torch.dtype | None = None) -> Tensor:
    """One tensor, read in pieces and converted as it comes, so that no second copy of it is ever held.

    Args:
        location: where it lies.
        dtype: number format to convert to; None for its own.

    Raises:
        SpecdecError: the file became shorter.
    """
    result = torch.empty(location.numbers, dtype=dtype or location.dtype)
    step = max(1, PIECE // location.dtype.itemsize)
    piece = bytearray(min(step, location.numbers) * location.dtype.itemsize)
    with location.file.open("rb", buffering=0) as file:
        file.seek(location.start)
        for begin in range(0, location.numbers, step):
            count = min(step, location.numbers - begin)
            wanted = memoryview(piece)[: count * location.dtype.itemsize]
            if file.readinto(wanted) != len(wanted):
                raise SpecdecError(f"{location.file} became shorter while it was read.", AGAIN)
            result[begin : begin + count] = torch.frombuffer(piece, dtype=location.dtype, count=count)
    return result.view(location.shape)
