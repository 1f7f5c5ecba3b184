"""What a model folder holds, read before anything large is loaded: kind of model, size, damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError
from specdec_cli.models.hf.config_sizes import read_sizes, require_room_for_sizes
from specdec_cli.models.hf.quiet import first_line, quiet
from specdec_cli.models.hf.safetensors_headers import BITS, Stored, read_header
from specdec_cli.models.hf.small_files import damaged, read_model_json

UNLIMITED = 1 << 30
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION, QUANTIZATION = "generation_config.json", "quantize_config.json"
FLOATS = ("F64", "F32", "F16", "BF16")
POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "max_target_positions",
)
STRETCHED = ("dynamic", "yarn", "longrope")  # they start from a length of their own or the stated one


@dataclass(frozen=True, slots=True)
class Index:
    """Which file of several holds each tensor, by name."""

    weight_map: dict[str, str]


def read_config(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's configuration, if it is of a causal language model.

    Raises:
        InputError: its code is its own and `trust_remote_code` was not given.
        InputError: there is none, it cannot be read, or it is of another kind of model.
    """
    if not (folder / "config.json").is_file():
        raise _no_config(folder)
    sizes = read_sizes(folder)
    from transformers import AutoConfig

    try:
        with quiet():
            config = AutoConfig.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:
        if "trust_remote_code" in str(error) and not trust_remote_code:
            problem = f"The model in {folder} brings its own Python code."
            raise InputError(problem, "Read that code, then pass --trust-remote-code to run it.") from error
        hint = "A newer transformers may know it; otherwise choose another model."
        raise InputError(f"{folder / 'config.json'} cannot be used: {first_line(error)}.", hint) from error
    _require_causal(config, folder)
    _require_stored(folder, sizes)
    _add_quantization(config, folder)
    return config


def is_quantized(config: Any) -> bool:
    """Whether a model's configuration says that its weights are stored in a quantised form."""
    return bool(quantization_settings(config))


def quantization_settings(config: Any) -> dict[str, Any]:
    """How a configuration, or its text model's, says that weights are quantised; empty if it does not."""
    texts = config.get_text_config(decoder=True)
    settings = (
        getattr(config, "quantization_config", None) or getattr(texts, "quantization_config", None) or {}
    )
    return dict(settings) if isinstance(settings, dict) else dict(settings.to_dict())


def _add_quantization(config: Any, folder: Path) -> None:
    """Read the settings of GPTQ where they lie in a file of their own, as some writers leave them.

    Raises:
        InputError: that file is damaged.
    """
    path = folder / QUANTIZATION
    if is_quantized(config) or not path.is_file():
        return
    settings = read_model_json(path, dict[str, Any])
    config.quantization_config = {"quant_method": "gptq"} | settings


def read_generation_config(model: Any, folder: Path) -> None:
    """Give a model that `from_pretrained` did not load its folder's generation settings, if there are any.

    Raises:
        InputError: they cannot be read.
    """
    from transformers import GenerationConfig

    require_generation_config(folder)
    if (folder / GENERATION).is_file():
        with quiet():
            model.generation_config = GenerationConfig.from_pretrained(folder)


def require_generation_config(folder: Path) -> None:
    """Check the file that says where a text ends: transformers goes on without it if it cannot be read.

    Raises:
        InputError: it is damaged.
    """
    path = folder / GENERATION
    if not path.is_file():
        return
    read_model_json(path, dict[str, Any])


def logit_vocab_size(config: Any) -> int:
    """Number of logits a position, padding included."""
    return int(config.get_text_config(decoder=True).vocab_size)


def context_length(config: Any) -> int:
    """Positions the model can tell apart, rotary scaling counted; a very large number if none is stated."""
    text = config.get_text_config(decoder=True)
    found = (getattr(text, name, None) for name in POSITIONS)
    stated = next((int(count) for count in found if count), UNLIMITED)
    # Only a class that computes rotary positions heeds the field: a table of learned ones has an end.
    rope = getattr(text, "rope_parameters", None) if hasattr(type(text), "rope_parameters") else None
    return _stretched(stated, rope) if isinstance(rope, dict) and stated < UNLIMITED else stated


def _stretched(stated: int, rope: Mapping[str, Any]) -> int:
    """The context that a configuration states, or the longer one that its rotary scaling makes of it.

    Llama 3's scaling comes with the longer context stated, and so does a linear one that differs by kind of
    layer, as in Gemma 3; for any other linear one transformers asks to leave the stated context as it was.
    """
    nested = isinstance(rope.get("full_attention"), dict)
    parameters = rope["full_attention"] if nested else rope
    kind, factor = parameters.get("rope_type", "default"), parameters.get("factor")
    original = parameters.get("original_max_position_embeddings")
    if not isinstance(factor, int | float):
        return stated
    if kind in STRETCHED or (kind == "linear" and not nested):
        return max(stated, int(factor * (original or stated)))
    return stated


def weight_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Bytes the folder's weights take in memory once floats are of `dtype`; integers stay as they are.

    Raises:
        InputError: there are no weights, or a file is missing, cut short or not what it claims to be.
    """
    paths = safetensors_files(folder)
    if paths:
        return sum(_tensor_bytes(tensor, dtype.itemsize) for tensor in stored_tensors(folder))
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    if not pickles:
        hint = "A model folder holds config.json, *.safetensors and the tokenizer's files."
        raise InputError(f"{folder} holds no weights.", hint)
    return sum(path.stat().st_size for path in pickles)


def safetensors_files(folder: Path) -> list[Path]:
    """The files that hold the folder's weights, none if it has none of the kind.

    As transformers chooses them: one file of the usual name counts before an index, and what else lies there
    does not count.

    Raises:
        InputError: the index cannot be read, or lists a file that is not there.
    """
    index = folder / INDEX
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not index.is_file():
        return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("gptq_model*.safetensors"))
    listed = _listed(folder)
    missing = [name for name, is_there in listed.items() if not is_there]
    if missing:
        raise damaged(index, f"{missing[0]}, which it lists, is not there")
    return [folder / name for name in listed]


def _listed(folder: Path) -> dict[str, bool]:
    """The files that the folder's index lists, in order, and whether each is there; none if it has no index.

    Raises:
        InputError: the index cannot be read.
    """
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return {}
    names = sorted(set(read_model_json(index, Index).weight_map.values()))
    return {name: is_plain(name) and (folder / name).is_file() for name in names}


def is_plain(name: str) -> bool:
    """Whether a file's name in a model's index stays inside the model's folder."""
    return bool(name) and "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts


def stored_tensors(folder: Path) -> list[Stored]:
    """What the headers of the folder's safetensors files say of each tensor; none where it has none.

    Raises:
        InputError: the index or a header is damaged.
    """
    files = safetensors_files(folder)
    return [tensor for path in files for tensor in read_header(path).tensors.values()]


def _require_stored(folder: Path, sizes: Mapping[str, Any]) -> None:
    """Check the configuration's sizes against the weights, where these are there already.

    A hub's folder may have the index alone: whoever wants a tokenizer only does not wait for the weights.
    """
    if not all(_listed(folder).values()):
        return
    tensors = stored_tensors(folder)
    pickled = sum(path.stat().st_size for path in folder.glob("pytorch_model*.bin"))
    if tensors:
        require_room_for_sizes(folder, sizes, sum(tensor.numbers for tensor in tensors), len(tensors))
    elif pickled:
        require_room_for_sizes(folder, sizes, pickled)


def _tensor_bytes(tensor: Stored, itemsize: int) -> int:
    if tensor.dtype in FLOATS:
        return tensor.numbers * itemsize
    return -(-tensor.numbers * BITS[tensor.dtype] // 8)


def _require_causal(config: Any, folder: Path) -> None:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    encodes = getattr(config, "is_encoder_decoder", False)
    if own_code or (type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not encodes and not masked):
        return
    hint = "Choose a causal (decoder-only) model, such as smollm2-135m."
    raise InputError(f"{folder} holds a {config.model_type} model, which is no causal language model.", hint)


def _no_config(folder: Path) -> InputError:
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs:
        return InputError(f"{folder} holds no config.json.", f"Give the path of the GGUF file: {ggufs[0]}.")
    if (folder / "adapter_config.json").is_file():
        hint = "Merge it into its base model first (PEFT's merge_and_unload), and give the merged folder."
        return InputError(f"{folder} holds an adapter, not a model.", hint)
    hint = "A model folder holds config.json, *.safetensors and the tokenizer's files."
    return InputError(f"{folder} holds no config.json.", hint)
