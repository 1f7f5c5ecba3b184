"""GGUF files, turned once into a folder that loads in a fraction of a second.

transformers takes half a minute to parse even a small GGUF file, in Python, on every load.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import SpecdecError
from specdec_cli.models.cache_folder import (
    LARGER_CACHE,
    put_folder,
    require_disk,
    require_writable,
    workspace,
)
from specdec_cli.models.disk_room import writing
from specdec_cli.models.hardware import require_memory
from specdec_cli.models.manifest import is_whole, write_manifest
from specdec_cli.models.quiet import first_line, quiet

# Q4_1 weights are 4-bit steps times float16 scales. Rounding SmolLM2-135M's to bfloat16 leaves 21% of them
# exact and moves the next-token law by KL 1.4e-4; float16 58% and 3e-6; float32 is exact, for 538 MB on disk.
# So: exact while that is cheap, and float16 for models whose float32 copy nobody would want to keep.
EXACT_UP_TO_PARAMETERS = 1_000_000_000
TOKENIZER_BYTES = 64 << 20


def convert_gguf(gguf: Path, folder: Path, report: Callable[[str], None], *, source: str = "") -> Path:
    """`folder`, holding the GGUF file's model as safetensors with its tokenizer; done already if it is whole.

    Args:
        gguf: the file to read.
        folder: where the result goes, inside the cache folder; what lies there is replaced.
        report: told when the conversion starts.
        source: what identifies the file's content; see `manifest.is_whole`.

    Raises:
        RoomError: not enough disk or memory.
        SpecdecError: not a GGUF file, or of a model that transformers cannot read.
    """
    if is_whole(folder, source):
        return folder
    parameters = _count_parameters(gguf)
    dtype = torch.float32 if parameters <= EXACT_UP_TO_PARAMETERS else torch.float16
    purpose = f"Converting {gguf.name}"
    require_disk(require_writable(), parameters * dtype.itemsize + TOKENIZER_BYTES, purpose)
    require_memory(parameters * (4 + dtype.itemsize), torch.device("cpu"), purpose)
    with workspace(purpose) as work:
        report(f"{purpose} ({parameters / 1e6:,.0f}M parameters), once; this takes a minute or so")
        built = work / "model"
        with quiet():
            _save(*_read(gguf, dtype), built)
        write_manifest(built, source)
        if not is_whole(folder, source):  # another process may have been quicker
            put_folder(built, folder)
    return folder


def _count_parameters(gguf: Path) -> int:
    import gguf as gguf_format

    try:
        return sum(int(tensor.n_elements) for tensor in gguf_format.GGUFReader(gguf).tensors)
    except Exception as error:  # the reader trusts its file: a damaged one can raise anything
        raise _unreadable(gguf, error) from error


def _read(gguf: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        # Left in blocks, the model would carry its quantiser and could not be saved.
        quantiser = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=dtype, quantization_config=quantiser)
        return model, AutoTokenizer.from_pretrained(**where)
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(gguf, error) from error


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    with writing("The converted model", LARGER_CACHE):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for weights in folder.glob("*.safetensors"):
            weights.chmod(0o644)  # saved for its owner alone, but a cache may be shared


def _unreadable(gguf: Path, error: Exception) -> SpecdecError:
    hint = "Check that the file is whole, and that transformers reads GGUF files of this kind of model."
    return SpecdecError(f"{gguf} cannot be read as a GGUF model: {first_line(error)}.", hint)
