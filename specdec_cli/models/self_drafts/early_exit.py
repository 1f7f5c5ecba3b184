"""A model's own first layers as its draft: no second download, no weights of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from torch import nn

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.hf.decoder_layers import stack_path
from specdec_cli.models.loader import LoadedModel, count_parameters
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear
from specdec_cli.models.quantization.matrices import matrix_of, put_matrix

PER_LAYER = ("embed_tokens_per_layer", "per_layer_model_projection")  # Gemma 3n, 4: an input for each layer
NOT_BY_LAYER = ("_id", "_ids", "architectures", "_section")  # lists that are as long by chance


def first_layers(loaded: LoadedModel, count: int) -> LoadedModel:
    """The first `count` decoder layers under the model's own embedding, final norm and head.

    Weights are shared, not copied, and the original stays as it is. Early exit without training, as in
    Elhoushi et al. (2024), https://arxiv.org/abs/2404.16710.

    Raises:
        InputError: not between one layer and all but one.
        MismatchError: the model's layers cannot be told apart, or are spread over devices.
    """
    total = loaded.layers
    require_fewer(loaded.name, total, count)
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


def require_fewer(name: str, total: int, count: int) -> None:
    """Check that a draft of `count` layers can be cut from a model of `total`.

    Raises:
        InputError: not between one layer and all but one.
    """
    if not 1 <= count < total:
        problem = f"{name} has {total} layers, so a draft of {count} cannot be cut from it."
        ways = f"Choose layers:N with N from 1 to {total - 1}." if total > 1 else "Use --draft ngram for it."
        raise InputError(problem, ways)


def _cut(model: Any, path: list[str], count: int) -> Any:
    """The model with shallow copies of the modules on `path`, whose last is cut to `count` layers."""
    memo: dict[int, Any] = {}  # a configuration that several modules hold stays one configuration
    total = len(model.get_submodule(".".join(path)))
    top = parent = _shallow(model, memo, count)
    for name in path[:-1]:
        child = _shallow(parent._modules[name], memo, count)
        parent._modules[name] = child
        parent = child
    parent._modules[path[-1]] = nn.ModuleList(list(parent._modules[path[-1]])[:count])
    for name in PER_LAYER:
        if parent._modules.get(name) is not None:
            parent._modules[name] = _first_parts(parent._modules[name], count, total)
    return top.eval()


def _shallow(module: Any, memo: dict[int, Any], count: int) -> Any:
    """A copy of one module that shares its weights and its children, with a configuration of its own."""
    if "forward" in vars(module):
        hint = "Keep the target whole on one device, or choose another draft, such as ngram."
        raise MismatchError("The layers of a model that is spread over devices cannot be borrowed.", hint)
    duplicate = copy.copy(module)
    for table in ("_modules", "_parameters", "_buffers"):
        setattr(duplicate, table, dict(getattr(module, table)))
    if hasattr(module, "config"):
        duplicate.config = copy.deepcopy(module.config, memo)
        shorten(duplicate.config.get_text_config(decoder=True), count)
    return duplicate


def _first_parts(module: Any, count: int, total: int) -> Any:
    """What gives a part of its output to each of `total` layers, with those of the first `count` alone.

    Raises:
        MismatchError: it is held in a format that cannot be cut.
    """
    if isinstance(module, Int8Linear | Int4Linear):
        return module.first_outputs(module.out_features * count // total)
    matrix = module.weight.T if isinstance(module, nn.Embedding) else matrix_of(module)
    if matrix is None:
        hint = "Leave the target's weights as they are, or choose another draft, such as ngram."
        raise MismatchError("The inputs of single layers are quantised and cannot be cut.", hint)
    first = matrix[: len(matrix) * count // total]
    duplicate = copy.copy(module)
    duplicate._parameters = dict(module._parameters)
    if isinstance(module, nn.Embedding):
        duplicate.weight = nn.Parameter(first.T, requires_grad=False)
        duplicate.embedding_dim = len(first)
    else:
        put_matrix(duplicate, first)
        duplicate.out_features = len(first)
    return duplicate


def shorten(config: Any, count: int) -> None:
    """Set a configuration's number of layers, and cut the lists that say something of each layer."""
    total = config.num_hidden_layers
    if count == total:
        return  # several modules hold one configuration
    shared = getattr(config, "num_kv_shared_layers", None)
    if shared:  # the last ones read the keys and values of earlier layers
        config.num_kv_shared_layers = max(0, count - (total - shared))
    unlike = config.to_dict().get("per_layer_config") or {}  # what single layers have otherwise than the rest
    config.per_layer_config = None
    for name, values in list(vars(config).items()):
        if isinstance(values, list | tuple) and len(values) == total and not name.endswith(NOT_BY_LAYER):
            setattr(config, name, values[:count])
    if hasattr(config, "attention_types"):  # GPT-Neo's kinds of layers, and how often they come
        config.attention_types = [[list(config.attention_layers), 1]]
    config.num_hidden_layers = count
    kept = {number: fields for number, fields in unlike.items() if int(number) < count}
    if kept:
        config.per_layer_config = kept
