"""A copy of a model with a little noise on its weights: an equal that mostly agrees, without a download."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from specdec_cli.errors import MismatchError
from specdec_cli.models.loader import LoadedModel

SEED = 0


def perturbed(loaded: LoadedModel, name: str, level: float) -> LoadedModel:
    """A model whose matrices differ from the original's by normal noise; all else is shared.

    Args:
        loaded: the original, which stays as it is.
        name: of the copy.
        level: standard deviation of the noise, relative to that of each matrix. The same level gives the same
            model every time.

    Raises:
        MismatchError: the model has no plain matrices to change.
    """
    shared = {id(each): each for each in (*loaded.model.parameters(), *loaded.model.buffers())}
    model = copy.deepcopy(loaded.model, shared)
    generator = torch.Generator().manual_seed(SEED)
    changed = 0
    for module in model.get_decoder().modules():
        if type(module) is nn.Linear:
            weight = module.weight
            noise = torch.randn(weight.shape, generator=generator).to(weight.device, torch.float32)
            noisy = weight.float() + noise * (level * float(weight.float().std()))
            module.weight = nn.Parameter(noisy.to(weight.dtype), requires_grad=False)
            changed += 1
    if not changed:
        hint = "Load it without --quantize, or choose self:int8 or layers:N of another model."
        raise MismatchError(f"The weights of {loaded.name} are not plain matrices.", hint)
    return replace(loaded, name=name, model=model.eval(), source=f"{loaded.name} with {level:g} of noise")
