"""Weights rounded by bitsandbytes as they are loaded: 8 bits (LLM.int8) and 4 bits (NF4).

Dettmers et al. (2022), https://arxiv.org/abs/2208.07339, and (2023), https://arxiv.org/abs/2305.14314.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.quiet import first_line, quiet

BNB_KINDS = ("bnb-8bit", "bnb-4bit")
CASTS = "bitsandbytes.autograd._functions"  # says on every pass that inputs are cast


def read_rounded(
    folder: Path, config: Any, dtype: torch.dtype, kind: str, device: torch.device, trust_remote_code: bool
) -> Any:
    """The model on its device, its products rounded; embedding, norms and head stay as they are.

    Args:
        folder: of an unquantised checkpoint.
        config: its configuration.
        dtype: number format of what stays, and of the activations.
        kind: one of `BNB_KINDS`.
        device: where it goes.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        InputError: bitsandbytes is not installed, or the checkpoint is quantised already.
        SpecdecError: bitsandbytes cannot load it here.
    """
    if find_spec("bitsandbytes") is None:
        hint = 'Install it with pip install "specdec-cli[quant]", or use --quantize int8 or int4 on a CPU.'
        raise InputError(f"--quantize {kind} needs bitsandbytes, which is not installed.", hint)
    if getattr(config, "quantization_config", None):
        hint = "Leave out --quantize for it."
        raise InputError(f"The checkpoint in {folder} is quantised already.", hint)
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    load: Any = AutoModelForCausalLM.from_pretrained
    how: Any = BitsAndBytesConfig  # not annotated
    rounding = (
        how(load_in_8bit=True)
        if kind == "bnb-8bit"
        else how(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    )
    logging.getLogger(CASTS).setLevel(logging.ERROR)
    try:
        with quiet():
            model = load(
                folder,
                dtype=dtype,
                quantization_config=rounding,
                device_map={"": str(device)},
                trust_remote_code=trust_remote_code,
                local_files_only=True,
            )
    except Exception as error:
        hint = "Use --quantize int8 or int4 on a CPU, or leave it out."
        raise SpecdecError(f"bitsandbytes cannot load {folder}: {first_line(error)}.", hint) from error
    return model.eval().requires_grad_(False)


def packed_weights(model: Any) -> int:
    """How many weights more than numbers the model's 4-bit products hold: two share a byte."""
    return sum(
        module.in_features * module.out_features - module.weight.numel()
        for module in model.modules()
        if type(module).__name__ == "Linear4bit"
    )
