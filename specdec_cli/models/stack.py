"""Where a model keeps its list of decoder layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from specdec_cli.errors import MismatchError


def decoder_layers(model: Any) -> nn.ModuleList:
    """The list of a model's decoder layers.

    Raises:
        MismatchError: they cannot be told apart.
    """
    total = model.config.get_text_config(decoder=True).num_hidden_layers
    for _, module in sorted(model.get_decoder().named_modules(), key=lambda named: named[0].count(".")):
        if isinstance(module, nn.ModuleList) and len(module) == total:
            return module
    hint = "Choose another draft, such as ngram, and a target that is not offloaded."
    raise MismatchError(f"The layers of this {model.config.model_type} model cannot be told apart.", hint)


def stack_path(model: Any) -> list[str]:
    """Names of the modules from the model down to its list of decoder layers.

    Raises:
        MismatchError: they cannot be told apart.
    """
    names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
    return names[id(decoder_layers(model))].split(".")
