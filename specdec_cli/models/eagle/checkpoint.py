"""EAGLE heads on disk: a folder of config.json and model.safetensors, and what they were made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from specdec_cli.errors import InputError, MismatchError, NotFiniteError
from specdec_cli.models.eagle.files import (
    CONFIG,
    FORMAT,
    HINT,
    KIND,
    SHAPE,
    TOKENS,
    WEIGHTS,
    MadeFor,
    head_config,
    head_tensors,
)
from specdec_cli.models.eagle.head import EagleHead, new_eagle_head, stored_weights
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.quantization.int4_format import GRID, WHOLE, fits_4_bits, names_of_4_bits
from specdec_cli.models.quantization.int4_weights import FourBits
from specdec_cli.models.quantization.linear import Int4Linear, fits_linear, require_cpu
from specdec_cli.models.quantization.quantize import lower_products
from specdec_cli.models.reduced_vocab_head import require_ascending


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """The same for two tokenizers where every token string has the same id."""
    tokens = sorted((token, text) for text, token in tokenizer.vocabulary().items())
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()


def require_vocabulary(folder: Path, name: str, tokenizer: Tokenizer) -> None:
    """Check that a head was made for a target of these tokens, from its configuration alone.

    Raises:
        MismatchError: it was made for another one.
        InputError: its configuration is damaged.
    """
    made_for = MadeFor(**head_config(folder)["made_for"])
    if made_for.vocabulary != vocabulary_digest(tokenizer):
        raise _made_for_another(folder, made_for, name)


def require_target(folder: Path, config: Any, tokenizer: Tokenizer, name: str) -> None:
    """Check that a head was made for such a target, from both configurations and the head's header alone.

    Args:
        folder: of the head.
        config: the target's.
        tokenizer: the target's.
        name: of the target.

    Raises:
        MismatchError: it was made for another one.
        InputError: its files are missing or damaged.
    """
    require_vocabulary(folder, name, tokenizer)
    made_for, text = MadeFor(**head_config(folder)["made_for"]), config.get_text_config(decoder=True)
    embedded = getattr(text, "word_embed_proj_dim", None) or text.hidden_size
    if made_for.hidden_size != embedded:
        raise _made_for_another(folder, made_for, name)
    head_tensors(folder)


def _made_for_another(folder: Path, made_for: MadeFor, name: str) -> MismatchError:
    problem = f"The draft {folder} was made for {made_for.name} and cannot read the hidden states of {name}."
    return MismatchError(problem, f"Make one with `specdec distill --target {name}`, or use --draft ngram.")


def save_eagle_head(head: EagleHead, made_for: MadeFor, folder: Path, store: str) -> None:
    """Write a head's two files; the target's embedding is not among the weights.

    Args:
        head: of full precision.
        made_for: its target.
        folder: where to.
        store: "float16" or "int4"; for "int4", matrices that cannot be held so are float16.

    Raises:
        NotFiniteError: weights are too large for that.
    """
    shape = {name: getattr(head.inner.config, name) for name in SHAPE}
    modules = head.named_modules() if store == "int4" else ()
    matrices = {f"{name}.weight" for name, module in modules if fits_linear(module, store)}
    config = {
        "model_type": KIND,
        "format": FORMAT,
        "made_for": {name: getattr(made_for, name) for name in MadeFor.__slots__},
        "layers": head.inner.config.num_hidden_layers,
        "store": "int4" if matrices else "float16",
        "shape": shape,
    }
    weights: dict[str, Tensor] = {}
    for name, weight in stored_weights(head).items():
        if name in matrices:
            weights |= FourBits.quantized(weight.detach()).stored(name)
        else:
            floats = weight.is_floating_point()
            weights[name] = weight.detach().to(torch.float16 if floats else weight.dtype).contiguous()
    require_finite_weights(weights.values())
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def require_finite_weights(weights: Iterable[Tensor]) -> None:
    """Refuse weights that became infinite in the number format in which they are to be kept.

    Raises:
        NotFiniteError: some did.
    """
    if not all(bool(weight.isfinite().all()) for weight in weights):
        hint = "Train with a lower --learning-rate."
        raise NotFiniteError("The draft's weights are too large for the float16 that they are kept in.", hint)


def load_eagle_head(name: str, folder: Path, target: LoadedModel, quantize: str = "none") -> LoadedModel:
    """The head in `folder`, ready to draft for a loaded target.

    Args:
        name: what the user called it.
        folder: where it lies.
        target: whose hidden states it will read, and whose embedding it shares.
        quantize: "none", "int8" or "int4", on the CPU only.

    Raises:
        InputError: weights of that precision cannot be had on the target's device.
        MismatchError: it was made for another target.
        InputError: a file is missing or damaged.
    """
    config = head_config(folder)
    embedding = target.model.get_input_embeddings()
    require_vocabulary(folder, target.name, target.tokenizer)
    made_for = MadeFor(**config["made_for"])
    if made_for.hidden_size != embedding.embedding_dim:
        raise _made_for_another(folder, made_for, target.name)
    dense, low = read_weights(folder)
    tokens = dense[TOKENS]
    require_ascending(tokens, embedding.num_embeddings, folder)
    head = new_eagle_head(embedding, tokens, config["layers"], config["shape"], target.dtype)
    _fill(head, dense, folder)
    head = head.eval().requires_grad_(False).to(target.device)
    if quantize != "none":
        require_quantizable(folder, name)
        _quantize(head, name, quantize, target.device)
    elif target.device.type == "cpu":
        _put_in(head, low)
    return LoadedModel(
        name=name,
        model=head,
        tokenizer=target.tokenizer,
        context=target.context,
        stop_tokens=target.stop_tokens,
        dtype=target.dtype,
        device=target.device,
        parameters=count_parameters(head) - count_parameters(embedding),
        source=str(folder),
    )


def read_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, FourBits]]:
    """A folder's weights as floats, by name, and those of them that are held in 4 bits.

    Raises:
        InputError: the file is missing or damaged.
    """
    head_tensors(folder)  # what it holds is sound, and belongs to its configuration
    try:
        stored = load_file(folder / WEIGHTS)
        low = {name: FourBits.read(stored, name) for name in names_of_4_bits(stored)}
        rest = {name: weight for name, weight in stored.items() if not name.endswith((WHOLE, GRID))}
        dense = rest | {name: weight.dense() for name, weight in low.items()}
        dense[TOKENS]
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{folder / WEIGHTS} is missing or damaged.", HINT) from error
    infinite = next((name for name, weight in dense.items() if not bool(weight.isfinite().all())), None)
    if infinite is not None:
        problem = f"{folder / WEIGHTS} is missing or damaged: {infinite} holds numbers that are not finite."
        raise InputError(problem, HINT)
    return dense, low


def require_quantizable(folder: Path, name: str) -> None:
    """Check that a head's weights are not of lower precision already.

    Raises:
        InputError: they are.
        InputError: its configuration is damaged.
    """
    if head_config(folder).get("store") == "int4":
        raise InputError(f"The weights of {name} are held in 4 bits already.", "Leave out --draft-quantize.")


def _quantize(head: EagleHead, name: str, kind: str, device: torch.device) -> None:
    require_cpu(kind, device)
    if not lower_products(head, kind):
        raise MismatchError(f"No layer of {name} can be held in {kind}.", "Leave out --draft-quantize.")


def _put_in(head: EagleHead, low: Mapping[str, FourBits]) -> None:
    """Replace matrices, by the names of their weights, by products that keep them in 4 bits."""
    for name, weight in low.items():
        if not fits_4_bits(*weight.whole.shape[::-1]):
            continue  # made by other means than `save_eagle_head`: it stays dense
        parent, _, last = name.removesuffix(".weight").rpartition(".")
        setattr(head.get_submodule(parent), last, Int4Linear.of(weight))


def _fill(head: EagleHead, stored: dict[str, torch.Tensor], folder: Path) -> None:
    try:
        missing, unexpected = head.load_state_dict(stored, strict=False)
    except RuntimeError as error:
        raise InputError(f"The weights in {folder} do not fit its {CONFIG}.", HINT) from error
    lacking = set(missing) & set(stored_weights(head))
    if lacking or unexpected:
        raise InputError(f"The weights in {folder} do not fit its {CONFIG}.", HINT)
