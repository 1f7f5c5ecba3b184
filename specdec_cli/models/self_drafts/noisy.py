"""A copy of a model with a little noise on its weights: an equal that mostly agrees, without a download."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from specdec_cli.errors import MismatchError
from specdec_cli.models.hf.decoder_layers import decoder_of
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.quantization.linear import require_finite
from specdec_cli.models.quantization.matrices import matrix_of, put_matrix

SEED = 0


def noisy_copy(loaded: LoadedModel, name: str, level: float) -> LoadedModel:
    """A model whose matrices differ from the original's by normal noise; all else is shared.

    Args:
        loaded: the original, which stays as it is.
        name: of the copy.
        level: standard deviation of the noise, relative to that of each matrix. The same level gives the same
            model every time.

    Raises:
        MismatchError: the model has no plain matrices to change.
        SpecdecError: there are weights that are no finite numbers.
    """
    shared = {id(each): each for each in (*loaded.model.parameters(), *loaded.model.buffers())}
    model = copy.deepcopy(loaded.model, shared)
    generator = torch.Generator().manual_seed(SEED)
    changed = 0
    for module in decoder_of(model).modules():
        matrix = matrix_of(module)
        if matrix is not None:
            put_matrix(module, _noisy(matrix, level, generator))
            changed += 1
        for key, block in list(module.named_parameters(recurse=False)):
            if block.dim() == 3:  # the experts of a layer
                noisy = torch.stack([_noisy(expert, level, generator) for expert in block])
                setattr(module, key, nn.Parameter(noisy, requires_grad=False))
                changed += 1
    if not changed:
        hint = "Load it without --quantize, or choose self:int8 or layers:N of another model."
        raise MismatchError(f"The weights of {loaded.name} are not plain matrices.", hint)
    return replace(loaded, name=name, model=model.eval(), source=f"{loaded.name} with {level:g} of noise")


def _noisy(weight: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """A matrix with noise of its own spread times `level`."""
    whole = weight.float()
    spread = whole.std() if whole.numel() > 1 else whole.new_zeros(())
    require_finite(spread)
    noise = torch.randn(weight.shape, generator=generator).to(weight.device, torch.float32)
    return (whole + noise * (level * float(spread))).to(weight.dtype)
