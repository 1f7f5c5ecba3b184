"""What a checkpoint lacks, and what it holds beyond the model: every tensor is used or named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from specdec_cli.errors import InputError

AGAIN = "Copy or download the model again, all files of it."
# Tables that older releases stored, and heads that guess several tokens ahead, which only training uses here.
HARMLESS = re.compile(
    r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$|(attn|attention)\.(masked_)?bias$|position_ids$"
    r"|(^|\.)mtp(_layers|_block)?\."
)
# Without the settings that go with them, the numbers beside these would be taken for plain weights.
QUANTIZED = re.compile(
    r"\.(weight_scale(_inv)?|weight_scale_2|input_scale|scales|qweight|qzeros|g_idx|weight_packed|SCB)$"
    r"|\.weight\.(absmax|quant_map|quant_state.*)$"
)


def require_all_weights(folder: Path, missing: Iterable[str]) -> None:
    """Check that nothing is missing: transformers fills it in with random numbers, and only warns.

    Raises:
        InputError: weights are missing.
    """
    names = sorted(missing)
    if names:
        problem = f"{folder} lacks {len(names)} of the model's weights, such as {names[0]}."
        raise InputError(problem, AGAIN)


def require_no_quantization(folder: Path, unused: Iterable[str]) -> None:
    """Check that nothing left over belongs to quantised weights, which would be taken for plain ones.

    Raises:
        InputError: something does, and config.json says nothing of it.
    """
    scales = sorted(name for name in unused if QUANTIZED.search(name))
    if scales:
        problem = f"{folder} holds quantised weights ({scales[0]}), and config.json does not say in what way."
        raise InputError(problem, "Add the settings that came with them, or choose another checkpoint.")


def unused_warnings(folder: Path, unused: Iterable[str]) -> tuple[str, ...]:
    """What to say of stored tensors that the model has no place for: a sentence or none."""
    names = sorted(name for name in unused if not HARMLESS.search(name))
    if not names:
        return ()
    count = "a tensor" if len(names) == 1 else f"{len(names)} tensors"
    such = "" if len(names) == 1 else "such as "
    return (f"{folder} holds {count} that the model has no place for and leaves out: {such}{names[0]}.",)
