"""Feature heads on disk: a folder of config.json and model.safetensors, and what they were made for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from specdec_cli.errors import InputError, MismatchError, SpecdecError
from specdec_cli.models.checkpoint import weight_bytes
from specdec_cli.models.feature_head import FeatureHead, layers_config, new_feature_head, stored_weights
from specdec_cli.models.four_bits import FourBits, names_of_4_bits
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.low_precision import Int4Linear, fits_linear, lower_products, require_cpu
from specdec_cli.models.tokenizer import Tokenizer
from specdec_cli.resources import shipped_drafts

KIND, FORMAT = "specdec_feature_head", 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
HINT = "Copy it again, or distil another with `specdec distill`."


@dataclass(frozen=True, slots=True)
class MadeFor:
    """What a head needs of its target.

    Attributes:
        name: of the target that it learned from.
        hidden_size: width of the target's hidden states.
        vocabulary: digest of the target's token strings and ids.
    """

    name: str
    hidden_size: int
    vocabulary: str


def head_folder(name: str) -> Path | None:
    """The folder that a draft's name stands for, if it is a shipped one or a feature head on this disk."""
    shipped = shipped_drafts().get(name)
    if shipped is not None:
        return shipped
    folder = Path(name).expanduser()
    return folder if is_feature_head(folder) else None


def is_feature_head(folder: Path) -> bool:
    """Whether a feature head lies there, by what its configuration says."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == KIND


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """The same for two tokenizers where every token string has the same id."""
    tokens = sorted((token, text) for text, token in tokenizer.vocabulary().items())
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()


def require_vocabulary(folder: Path, name: str, tokenizer: Tokenizer) -> None:
    """Check that a head was made for a target of these tokens, from its configuration alone.

    Raises:
        MismatchError: it was made for another one.
        SpecdecError: its configuration is damaged.
    """
    made_for = MadeFor(**_config(folder)["made_for"])
    if made_for.vocabulary != vocabulary_digest(tokenizer):
        raise _made_for_another(folder, made_for, name)


def _made_for_another(folder: Path, made_for: MadeFor, name: str) -> MismatchError:
    problem = f"The draft {folder} was made for {made_for.name} and cannot read the hidden states of {name}."
    return MismatchError(problem, f"Make one with `specdec distill --target {name}`, or use --draft ngram.")


def save_feature_head(head: FeatureHead, made_for: MadeFor, folder: Path, store: str) -> None:
    """Write a head's two files; the target's embedding is not among the weights.

    Args:
        head: of full precision.
        made_for: its target.
        folder: where to.
        store: "float16" or "int4"; for "int4", matrices that cannot be held so are float16.
    """
    shape = {name: getattr(head.inner.config, name) for name in SHAPE}
    config = {
        "model_type": KIND,
        "format": FORMAT,
        "made_for": {name: getattr(made_for, name) for name in MadeFor.__slots__},
        "layers": head.inner.config.num_hidden_layers,
        "store": store,
        "shape": shape,
    }
    modules = head.named_modules() if store == "int4" else ()
    matrices = {f"{name}.weight" for name, module in modules if fits_linear(module, store)}
    weights: dict[str, Tensor] = {}
    for name, weight in stored_weights(head).items():
        if name in matrices:
            weights |= FourBits.rounded(weight.detach()).stored(name)
        else:
            floats = weight.is_floating_point()
            weights[name] = weight.detach().to(torch.float16 if floats else weight.dtype).contiguous()
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_feature_head(name: str, folder: Path, target: LoadedModel, quantize: str = "none") -> LoadedModel:
    """The head in `folder`, ready to draft for a loaded target.

    Args:
        name: what the user called it.
        folder: where it lies.
        target: whose hidden states it will read, and whose embedding it shares.
        quantize: "none", "int8" or "int4", on the CPU only.

    Raises:
        InputError: weights of that precision cannot be had on the target's device.
        MismatchError: it was made for another target.
        SpecdecError: a file is missing or damaged.
    """
    config = _config(folder)
    embedding = target.model.get_input_embeddings()
    require_vocabulary(folder, target.name, target.tokenizer)
    made_for = MadeFor(**config["made_for"])
    if made_for.hidden_size != embedding.embedding_dim:
        raise _made_for_another(folder, made_for, target.name)
    dense, low = read_weights(folder)
    tokens = dense["inner.lm_head.tokens"]
    head = new_feature_head(embedding, tokens, config["layers"], config["shape"], target.dtype)
    _fill(head, dense, folder)
    head = head.eval().requires_grad_(False).to(target.device)
    if quantize != "none":
        require_roundable(folder, name)
        require_cpu(quantize, target.device)
        lower_products(head, quantize)
    elif target.device.type == "cpu":
        for place, weight in low.items():
            _put(head, place.removesuffix(".weight"), Int4Linear.of(weight))
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
        SpecdecError: the file is missing or damaged.
    """
    try:
        stored = load_file(folder / WEIGHTS)
        low = {name: FourBits.read(stored, name) for name in names_of_4_bits(stored)}
        parts = {part for name, weight in low.items() for part in weight.stored(name)}
        rest = {name: weight for name, weight in stored.items() if name not in parts}
        dense = rest | {name: weight.dense() for name, weight in low.items()}
        dense["inner.lm_head.tokens"]
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise SpecdecError(f"{folder / WEIGHTS} is missing or damaged.", HINT) from error
    return dense, low


def require_roundable(folder: Path, name: str) -> None:
    """Check that a head's weights are not of lower precision already.

    Raises:
        InputError: they are.
        SpecdecError: its configuration is damaged.
    """
    if _config(folder).get("store") == "int4":
        raise InputError(f"The weights of {name} are held in 4 bits already.", "Leave out --draft-quantize.")


def _put(module: nn.Module, place: str, product: nn.Module) -> None:
    """Replace the module at a dotted path."""
    parent, _, last = place.rpartition(".")
    setattr(module.get_submodule(parent), last, product)


def head_needs(folder: Path, dtype: torch.dtype) -> tuple[int, Any]:
    """Bytes that a head's weights take in that number format, and the configuration of its layers.

    Raises:
        SpecdecError: a file is missing or damaged.
    """
    config = _config(folder)
    return weight_bytes(folder, dtype), layers_config(config["shape"], config["layers"])


def _fill(head: FeatureHead, stored: dict[str, torch.Tensor], folder: Path) -> None:
    try:
        missing, unexpected = head.load_state_dict(stored, strict=False)
    except RuntimeError as error:
        raise SpecdecError(f"The weights in {folder} do not fit its {CONFIG}.", HINT) from error
    lacking = set(missing) & set(stored_weights(head))
    if lacking or unexpected:
        raise SpecdecError(f"The weights in {folder} do not fit its {CONFIG}.", HINT)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        MadeFor(**config["made_for"])
        if config["format"] != FORMAT:
            problem = f"{folder} was made by another version of specdec, in format {config['format']}."
            raise SpecdecError(problem, "Distil it again with `specdec distill`.")
        new = {name: config["shape"][name] for name in SHAPE}
        return {**config, "shape": new, "layers": int(config["layers"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecdecError(f"{folder / CONFIG} is missing or damaged.", HINT) from error
