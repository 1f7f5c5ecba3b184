"""GGUF files, turned once into a folder that loads in a fraction of a second.

What a file says is used or refused by name: every part of a split file, every tensor, every key that changes
the model or its tokens. Nothing is filled in. transformers' own reader keeps to none of that (5.23): it fills
what a file lacks with random numbers and leaves out tensors and keys that it does not know. So the pieces
below read the file themselves (`gguf_files/`), and gguf unpacks the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specdec_cli.models.gguf.architectures import ARCHITECTURES, Architecture, configuration
from specdec_cli.models.gguf.header import GgufHeader, unreadable
from specdec_cli.models.gguf.keys import OTHER_FILE, Keys
from specdec_cli.models.gguf.parts import read_parts
from specdec_cli.models.gguf.rotary import FREQUENCIES, LONG, SHORT, RotaryTables
from specdec_cli.models.gguf.tokenizer import build_tokenizer, end_ids, role_ids, vocabulary_size
from specdec_cli.models.gguf.weights import (
    Source,
    plan_weights,
    read_tensor,
    read_weight,
    require_blocks,
)
from specdec_cli.models.hardware import require_memory
from specdec_cli.models.hf.quiet import first_line, quiet
from specdec_cli.models.hub.cache import (
    LARGER_CACHE,
    alone,
    put_folder,
    require_disk,
    require_writable,
    workspace,
)
from specdec_cli.models.hub.disk import writing
from specdec_cli.models.hub.manifest import is_whole, write_manifest
from specdec_cli.progress import Report

# Q4_1 weights are 4-bit steps times float16 scales. Rounding SmolLM2-135M's to bfloat16 leaves 21% of them
# exact and moves the next-token law by KL 1.4e-4; float16 58% and 3e-6; float32 is exact, for 538 MB on disk.
# So: exact while that is cheap, and float16 for models whose float32 copy nobody would want to keep.
EXACT_UP_TO_PARAMETERS = 1_000_000_000
TOKENIZER_BYTES = 64 << 20
STEPS = 20  # how often a conversion says how far it is


@dataclass(frozen=True, slots=True)
class _Described:
    """A file, its model on the meta device, and where each of the model's weights comes from."""

    header: GgufHeader
    model: Any
    plan: dict[str, Source]


def convert_gguf(gguf: Path, folder: Path, report: Report, *, source: str = "", weights: bool = True) -> Path:
    """`folder`, holding the GGUF file's model as safetensors with its tokenizer; done already if it is whole.

    Args:
        gguf: the file to read, or any part of a split one.
        folder: where the result goes, inside the cache folder; what lies there is replaced.
        report: told when the conversion starts and how far it is.
        source: what identifies the file's content; see `manifest.is_whole`.
        weights: False converts the configuration and the tokenizer alone, for those who want no more.

    Raises:
        ResourceError: not enough disk or memory.
        InputError: not a whole GGUF file, or of a model, a type or a setting that is not read here.
    """
    if is_whole(folder, source):
        return folder
    with quiet():
        described = _describe(read_parts(gguf))  # so that a bad file leaves nothing in the cache
    with alone(folder, report):
        if not is_whole(folder, source):  # another process may have been quicker
            _convert(described, folder, report, source, weights)
    return folder


def _convert(described: _Described, folder: Path, report: Report, source: str, weights: bool) -> None:
    model, path = described.model, described.header.path
    purpose = f"Converting {path.name}"
    parameters = sum(weight.numel() for weight in model.parameters())
    dtype = torch.float32 if parameters <= EXACT_UP_TO_PARAMETERS else torch.float16
    if weights:
        _require_room(model, parameters, dtype, purpose)
        report(f"{purpose} ({parameters / 1e6:,.0f}M parameters), once")
    with workspace(purpose) as work:
        built = work / "model"
        with quiet():
            tokenizer = build_tokenizer(described.header)
            if weights:
                _fill(model, described.plan, dtype, path, lambda share: report(f"{purpose}: {share:.0%}"))
            _save(model, tokenizer, built, weights)
        write_manifest(built, source)
        put_folder(built, folder)


def _require_room(model: Any, parameters: int, dtype: torch.dtype, purpose: str) -> None:
    """What is built, and the largest weight twice more in float32 while it is unpacked and changed."""
    built = parameters * dtype.itemsize
    largest = max(weight.numel() for weight in model.parameters())
    require_disk(require_writable(), built + TOKENIZER_BYTES, purpose)
    require_memory(built + 2 * 4 * largest, torch.device("cpu"), purpose)


def _describe(header: GgufHeader) -> _Described:
    from transformers import AutoConfig, AutoModelForCausalLM

    make: Any = AutoModelForCausalLM.from_config  # it has no annotations
    name, architecture = _architecture(header)
    keys = Keys(header.path, name, header.keys)
    require_blocks(header, keys.size("block_count"))
    names = {each.name for each in header.tensors}
    vocabulary = _vocabulary(header, keys)
    arguments = configuration(architecture, keys, names, _tables(header)) | vocabulary
    try:
        config = AutoConfig.for_model(**arguments)
        with torch.device("meta"):
            model = make(config, dtype=torch.float32)
    except Exception as error:  # a configuration may be refused anywhere in transformers
        raise unreadable(header.path, first_line(error), OTHER_FILE) from error
    ends = end_ids(header)
    model.generation_config.eos_token_id = ends or None
    return _Described(header, model, plan_weights(header, model, name, architecture))


def _architecture(header: GgufHeader) -> tuple[str, Architecture]:
    kind = header.keys.get("general.type", "model")
    if kind != "model":
        raise unreadable(header.path, f"it holds a {str(kind)[:40]}, not a model", OTHER_FILE)
    name = header.keys.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        hint = f"Use the checkpoint that it was made from. GGUF is read of: {known}."
        raise unreadable(header.path, f"its architecture is {str(name)[:40]!r}", hint)
    return name, ARCHITECTURES[name]


def _tables(header: GgufHeader) -> RotaryTables:
    found: dict[str, list[float]] = {}
    for stored in header.tensors:
        if stored.name not in (FREQUENCIES, LONG, SHORT):
            continue
        if stored.kind != 0 or len(stored.shape) != 1 or stored.shape[0] > 1 << 16:
            raise unreadable(header.path, f"its tensor {stored.name} is no list of float32 numbers")
        factors = read_tensor(stored)
        if not bool((torch.isfinite(factors) & (factors > 0)).all()):
            raise unreadable(header.path, f"its tensor {stored.name} has factors that are not above 0")
        found[stored.name] = factors.tolist()
    return RotaryTables(found.get(FREQUENCIES), found.get(LONG), found.get(SHORT))


def _vocabulary(header: GgufHeader, keys: Keys) -> dict[str, Any]:
    """The size of the vocabulary, by the embedding's rows, and the ids that a configuration names."""
    words = vocabulary_size(header)
    rows = next((each.shape[0] for each in header.tensors if each.name == "token_embd.weight"), words)
    if words > rows:
        why = f"its tokenizer has {words} tokens, and its embedding {rows} rows"
        raise unreadable(header.path, why)
    if keys.size("vocab_size", rows) != rows:
        raise keys.refused(f"vocab_size is not the {rows} rows of its embedding")
    roles = {f"{role}_id": number for role, number in role_ids(header).items() if role != "unk_token"}
    none = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    return {"vocab_size": rows, **none, **roles}


def _fill(
    model: Any, plan: dict[str, Source], dtype: torch.dtype, path: Path, said: Callable[[float], None]
) -> None:
    """Give the model its weights; what is tied follows its embedding."""
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    state: dict[str, torch.Tensor] = {}
    for number, (name, source) in enumerate(plan.items()):
        if number % max(1, len(plan) // STEPS) == 0:
            said(number / len(plan))
        state[name] = read_weight(source, name, shapes[name], dtype, path)
    found = model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    empty = [name for name, weight in model.named_parameters() if weight.is_meta]
    if found.unexpected_keys or empty:
        raise unreadable(path, f"it does not fill {(empty or found.unexpected_keys)[0]}")
    model.config.dtype = dtype


def _save(model: Any, tokenizer: Any, folder: Path, weights: bool) -> None:
    with writing("The converted model", LARGER_CACHE):
        if weights:
            model.save_pretrained(folder)
        else:
            model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for each in folder.glob("*.safetensors"):
            each.chmod(0o644)  # saved for its owner alone, but a cache may be shared
