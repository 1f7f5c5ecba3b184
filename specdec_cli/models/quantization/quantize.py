"""Quantizing a whole model: which of its products are held in 8 or 4 bits, and how much that was."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from specdec_cli.errors import MismatchError
from specdec_cli.models.hf.decoder_layers import decoder_of
from specdec_cli.models.quantization.linear import KINDS, Int4Linear, Int8Linear, fits_linear
from specdec_cli.models.quantization.matrices import matrix_of
from specdec_cli.models.quantization.shapes import low_bytes, shape_fits
from specdec_cli.models.reduced_vocab_head import ReducedHead

WORTH_SAYING = 0.2  # share of weights that keep their precision


def low_precision_copy(model: Any, kind: str) -> Any:
    """A model of lower precision beside the original, which keeps its weights; they share the rest.

    Raises:
        MismatchError, SpecdecError: as `lower_precision`.
    """
    duplicate = copy.deepcopy(model, {id(each): each for each in (*model.parameters(), *model.buffers())})
    lower_precision(duplicate, kind)
    return duplicate


def lower_precision(model: Any, kind: str) -> None:
    """Replace a model's matrix products, in place; embedding and norms stay as they are.

    The head takes 8 bits in either kind: it is much of a small model's bytes, and 4 would cost accuracy.

    Args:
        model: a causal language model on the CPU.
        kind: "int8" or "int4".

    Raises:
        MismatchError: the model has no matrix product that can be replaced.
        SpecdecError: there are weights that are no finite numbers.
    """
    if not lower_products(decoder_of(model), kind):
        raise cannot_hold(model, kind)
    head = model.get_output_embeddings()
    if isinstance(head, ReducedHead):
        head.inner = Int8Linear.quantized(head.inner)
    elif fits_linear(head, "int8"):
        put_head(model, Int8Linear.quantized(head))


def put_head(model: Any, head: Int8Linear) -> None:
    """Put a quantized output layer in the place of a model's own.

    Architectures that tie its bias, such as BERT's, do not take one without parameters themselves.
    """
    former = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is former:
                setattr(parent, name, head)


def cannot_hold(model: Any, kind: str) -> MismatchError:
    """The error that no layer of a model can be held in that precision."""
    architecture = model.config.model_type
    if any(_is_held_low(each) for each in decoder_of(model).modules()):
        hint = "Leave out --quantize, and as a draft use ngram or layers:N."
        return MismatchError(f"The weights of this {architecture} model are quantised already.", hint)
    hint = "Choose --quantize none for it, and as a draft ngram or layers:N."
    return MismatchError(f"No layer of this {architecture} model can be held in {kind}.", hint)


def _is_held_low(module: nn.Module) -> bool:
    return isinstance(module, Int8Linear | Int4Linear) or (
        isinstance(module, nn.Linear) and matrix_of(module) is None
    )


def lower_products(module: Any, kind: str) -> int:
    """Replace the matrix products inside a module that `kind` can hold, in place: how many there were.

    Raises:
        SpecdecError: there are weights that are no finite numbers.
    """
    replaced = 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if fits_linear(child, kind):
                setattr(parent, name, KINDS[kind].quantized(child))
                replaced += 1
    return replaced


def kept_share(model: Any) -> float:
    """How much of a quantized model's weights kept their precision, embeddings apart: 0 to 1."""
    low = (each for each in model.modules() if isinstance(each, Int8Linear | Int4Linear))
    quantized = sum(each.out_features * each.in_features for each in low)
    whole = (each for each in decoder_of(model).modules() if not isinstance(each, nn.Embedding))
    kept = sum(each.numel() for module in whole for each in module.parameters(recurse=False))
    return float(kept / (kept + quantized))


def remarks_on(model: Any, name: str, kind: str) -> tuple[str, ...]:
    """What to know of a model that was quantized to `kind`: how much of it was not, if that is much."""
    share = kept_share(model) if kind in KINDS else 0.0
    if share < WORTH_SAYING:
        return ()
    what = "its experts are held together in one block, which" if _has_blocks(model) else "the rest"
    return (f"{1 - share:.0%} of the weights of {name} are held in {kind}; {what} kept their precision.",)


def _has_blocks(model: Any) -> bool:
    return any(weight.dim() > 2 for weight in decoder_of(model).parameters())


def bytes_in(kind: str, module: nn.Module, dtype: torch.dtype) -> int:
    """Bytes of a module's weights where its matrices are held in `kind` and the rest in `dtype`."""
    total = 0
    for child in module.modules():
        weight = matrix_of(child)
        whole = sum(each.numel() for each in child.parameters(recurse=False)) * dtype.itemsize
        if weight is not None and shape_fits(kind, weight.shape):
            whole += low_bytes(kind, weight.shape) - weight.numel() * dtype.itemsize
        total += whole
    return total
