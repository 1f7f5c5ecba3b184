"""Models through transformers' own loader, whose findings are taken for errors where it only warns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.checkpoint import is_quantized, require_generation_config
from specdec_cli.models.hf.quiet import first_line, quiet
from specdec_cli.models.hf.unused_tensors import require_all_weights, require_no_quantization
from specdec_cli.models.hf.weight_map import mismatch
from specdec_cli.storage.failures import is_out_of_memory, out_of_memory


def read_pretrained(
    folder: Path,
    dtype: torch.dtype,
    trust_remote_code: bool,
    *,
    quantization: Any = None,
    device: torch.device | None = None,
) -> tuple[Any, tuple[str, ...]]:
    """The model, and the names of stored tensors that it has no place for.

    Attention is left to transformers: sdpa, except where only eager gives the right logits (Gemma 2).

    Args:
        folder: of the checkpoint.
        dtype: number format of what is not quantized.
        trust_remote_code: run Python code that comes with the model.
        quantization: bitsandbytes' configuration; None to leave them as they are, on the CPU.
        device: where quantized weights go.

    Raises:
        InputError: it cannot be loaded, weights are missing, or one has another shape than the model's.
        SpecdecError: bitsandbytes fails.
    """
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained  # its type hides the second result
    require_generation_config(folder)
    more = {}
    if quantization is not None:
        more = {"quantization_config": quantization, "device_map": {"": str(device)}}
    try:
        with quiet():
            model, info = load(
                folder,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below, and not filled in
                **more,
            )
    except Exception as error:
        raise _unloadable(folder, quantization, error) from error
    if not is_quantized(model.config):
        require_no_quantization(folder, info["unexpected_keys"])
    if info["mismatched_keys"]:
        raise mismatch(*min(info["mismatched_keys"]))
    require_all_weights(folder, info["missing_keys"])
    return model, tuple(info["unexpected_keys"])


def _unloadable(folder: Path, quantization: Any, error: Exception) -> SpecdecError:
    if is_out_of_memory(error):
        return out_of_memory(f"{folder} cannot be loaded")
    if quantization is not None:
        hint = "Use --quantize int8 or int4 on a CPU, or leave it out."
        return SpecdecError(f"{folder} cannot be loaded by bitsandbytes: {first_line(error)}.", hint)
    hint = "Check that config.json and the weights belong together and that nothing is cut short."
    return InputError(f"{folder} cannot be loaded: {first_line(error)}.", hint)
