"""A model's own first layers as its draft: no second download, no weights of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from torch import nn

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.stack import stack_path


def first_layers(loaded: LoadedModel, count: int) -> LoadedModel:
    """The first `count` decoder layers under the model's own embedding, final norm and head.

    Weights are shared, not copied, and the original stays as it is. Early exit without training, as in
    Elhoushi et al. (2024), https://arxiv.org/abs/2404.16710.

    Raises:
        InputError: not between one layer and all but one.
        MismatchError: the model's layers cannot be told apart, or are spread over devices.
    """
    total = loaded.layers
    if not 1 <= count < total:
        problem = f"{loaded.name} has {total} layers, so a draft of {count} cannot be cut from it."
        raise InputError(problem, f"Choose layers:N with N from 1 to {total - 1}.")
    model = _cut(loaded.model, stack_path(loaded.model), count)
    return replace(
        loaded,
        name=f"layers:{count}",
        model=model,
        parameters=count_parameters(model),
        source=f"the first {count} of {total} layers of {loaded.name}",
        stream=None,  # its layers are those in memory, and borrow their weights as the target's do
        plan=None,
    )


def _cut(model: Any, path: list[str], count: int) -> Any:
    """The model with shallow copies of the modules on `path`, whose last is cut to `count` layers."""
    memo: dict[int, Any] = {}  # a configuration that several modules hold stays one configuration
    top = parent = _shallow(model, memo, count)
    for name in path[:-1]:
        child = _shallow(parent._modules[name], memo, count)
        parent._modules[name] = child
        parent = child
    parent._modules[path[-1]] = nn.ModuleList(list(parent._modules[path[-1]])[:count])
    return top.eval()


def _shallow(module: Any, memo: dict[int, Any], count: int) -> Any:
    """A copy of one module that shares its weights and its children, with a configuration of its own."""
    if "forward" in vars(module):
        hint = "Keep the target whole on one device, or choose another draft, such as ngram."
        raise MismatchError("The layers of a model that is spread over devices cannot be borrowed.", hint)
    twin = copy.copy(module)
    for table in ("_modules", "_parameters", "_buffers"):
        setattr(twin, table, dict(getattr(module, table)))
    if hasattr(module, "config"):
        twin.config = copy.deepcopy(module.config, memo)
        _shorten(twin.config.get_text_config(decoder=True), count)
    return twin


def _shorten(config: Any, count: int) -> None:
    """Set the number of layers, and cut the lists that say something of each layer."""
    total = config.num_hidden_layers
    for name, values in list(vars(config).items()):
        if "layer" in name and isinstance(values, list) and len(values) == total:
            setattr(config, name, values[:count])
    config.num_hidden_layers = count
