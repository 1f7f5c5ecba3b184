"""Where a model keeps its list of decoder layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from specdec_cli.errors import MismatchError

USUAL = ("layers", "h", "blocks")


def decoder_of(model: Any) -> Any:
    """What a model computes before its output layer; some architectures call that layer their decoder."""
    decoder = model.get_decoder()
    return model.base_model if decoder is model.get_output_embeddings() else decoder


def decoder_layers(model: Any) -> nn.ModuleList:
    """The list of a model's decoder layers.

    Raises:
        MismatchError: they cannot be told apart.
    """
    total = model.config.get_text_config(decoder=True).num_hidden_layers
    lists = [
        (name, module)
        for name, module in decoder_of(model).named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == total
    ]
    for _, module in sorted(lists, key=_likeliness):
        return module
    hint = "Choose another draft, such as ngram, and a target that is not offloaded."
    raise MismatchError(f"The layers of this {model.config.model_type} model cannot be told apart.", hint)


def _likeliness(named: tuple[str, nn.ModuleList]) -> tuple[int, bool]:
    """Lists further up come first, and of those the ones with a usual name."""
    name = named[0]
    return name.count("."), name.rpartition(".")[2] not in USUAL


def stack_path(model: Any) -> list[str]:
    """Names of the modules from the model down to its list of decoder layers.

    Raises:
        MismatchError: they cannot be told apart.
    """
    names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
    return names[id(decoder_layers(model))].split(".")
