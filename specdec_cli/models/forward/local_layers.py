"""Layers that count their window in rows of the cache, as GPT-Neo's local ones do.

Row and position are the same in a text, but in a tree siblings stand between a node and its ancestors. There
the layers are told what to see by position, and their own rule is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LOCAL, GLOBAL = "local", "global"


def row_counting_layers(model: nn.Module) -> list[nn.Module]:
    """The attention modules of a model that has such layers, those without a window among them."""
    found = [
        module for module in model.modules() if getattr(module, "attention_type", None) in (LOCAL, GLOBAL)
    ]
    found = [module for module in found if isinstance(getattr(module, "bias", None), Tensor)]
    return found if any(module.attention_type == LOCAL for module in found) else []


@contextmanager
def seeing(layers: Sequence[Any], full: Tensor, near: Tensor) -> Iterator[None]:
    """While this lasts, the layers see what these masks let them see.

    Args:
        layers: of `row_counting_layers`.
        full: (1, 1, n, rows) additive, for layers without a window.
        near: the same for those with one.
    """
    everything = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=full.device)
    everything = everything.expand(1, 1, full.shape[-1], full.shape[-1])

    def told(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "attention_mask": near if module.attention_type == LOCAL else full}

    with ExitStack() as undo:
        for layer in layers:
            undo.callback(layer.register_forward_pre_hook(told, with_kwargs=True).remove)
            undo.callback(setattr, layer, "bias", layer.bias)
            layer.bias = everything
        yield
