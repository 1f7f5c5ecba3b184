"""Weights quantized by bitsandbytes as they are loaded: 8 bits (LLM.int8) and 4 bits (NF4).

Dettmers et al. (2022), https://arxiv.org/abs/2208.07339, and (2023), https://arxiv.org/abs/2305.14314.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError
from specdec_cli.models.hf.checkpoint import is_quantized

CASTS = "bitsandbytes.autograd._functions"  # says on every pass that inputs are cast


def require_bitsandbytes(folder: Path, config: Any, kind: str) -> None:
    """Check that a checkpoint can be quantized as it is loaded.

    Args:
        folder: of the checkpoint.
        config: its configuration.
        kind: "bnb-8bit" or "bnb-4bit".

    Raises:
        InputError: bitsandbytes is not installed, or the checkpoint is quantized already.
    """
    if find_spec("bitsandbytes") is None:
        hint = 'Install it with pip install "specdec-cli[quant]", or choose int8 or int4 on a CPU.'
        raise InputError(f"{kind} needs bitsandbytes, which is not installed.", hint)
    if is_quantized(config):
        hint = f"Load it without {kind}."
        raise InputError(f"The checkpoint in {folder} is quantized already.", hint)


def bitsandbytes_config(dtype: torch.dtype, kind: str) -> Any:
    """How transformers is to quantize a checkpoint's products; embedding, norms and head stay as they are.

    Args:
        dtype: number format of what stays, and of the activations.
        kind: "bnb-8bit" or "bnb-4bit".

    """
    from transformers import BitsAndBytesConfig

    how: Any = BitsAndBytesConfig  # not annotated
    logging.getLogger(CASTS).setLevel(logging.ERROR)
    if kind == "bnb-8bit":
        return how(load_in_8bit=True)
    return how(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def packed_weights(model: Any) -> int:
    """How many weights more than numbers the model's 4-bit products hold: two share a byte."""
    return sum(
        module.in_features * module.out_features - module.weight.numel()
        for module in model.modules()
        if type(module).__name__ == "Linear4bit"
    )
