"""Weights in 4 bits, laid out for no processor in particular: what is kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.models.quantization.int4_format import GRID, GROUP, WHOLE


@dataclass(frozen=True, slots=True)
class FourBits:
    """A matrix (N, K) of whole numbers q from 0 to 15, of which each stands for (q - 8) * scale + offset.

    Attributes:
        whole: (N, K) uint8.
        scale, offset: (N, K / 32) of each group of 32 inputs, in steps of bfloat16.
    """

    whole: Tensor
    scale: Tensor
    offset: Tensor

    @classmethod
    def quantized(cls, weight: Tensor) -> FourBits:
        """The nearest of 16 even steps from the least to the greatest weight of each group."""
        groups = weight.float().view(len(weight), -1, GROUP)
        low, high = groups.amin(-1), groups.amax(-1)
        scale = ((high - low) / 15).clamp_min(1e-12).bfloat16().float()
        offset = (low + 8 * scale).bfloat16().float()
        whole = ((groups - offset[..., None]) / scale[..., None] + 8).round_().clamp_(0, 15)
        return cls(whole.flatten(1).to(torch.uint8), scale, offset)

    def dense(self) -> Tensor:
        """The weights that it stands for: (N, K) float32."""
        groups = self.whole.float().view(*self.scale.shape, GROUP) - 8
        return (groups * self.scale[..., None] + self.offset[..., None]).flatten(1)

    def stored(self, name: str) -> dict[str, Tensor]:
        """What a file holds of it: two numbers a byte, the first one in the low half, and the grid."""
        low, high = self.whole.view(len(self.whole), -1, 2).unbind(-1)
        grid = torch.stack((self.scale, self.offset), -1).bfloat16()
        return {name + WHOLE: low | high << 4, name + GRID: grid}

    @classmethod
    def read(cls, file: Mapping[str, Tensor], name: str) -> FourBits:
        """From what a file holds.

        Raises:
            KeyError: half of it is not there.
        """
        pairs, grid = file[name + WHOLE], file[name + GRID].float()
        whole = torch.stack((pairs & 15, pairs >> 4), -1).flatten(1)
        return cls(whole, *grid.unbind(-1))
