"""One layer of a GPTQ checkpoint: its numbers unpacked, checked and multiplied out.

The layout, for a linear layer of K inputs and N outputs: `qweight` int32 (K * bits / 32, N) holds whole
numbers from the lowest bits up; `qzeros` int32 (groups, N * bits / 32) the zero points, less one in the first
version of the format; `scales` (groups, N); `g_idx` (K,) the group of each input. A weight is
scale * (number - zero). Numbers of 3 bits run on from one word into the next; numbers of 5, 6 and 7 bits,
and those of 3 in the format `gptq_p`, lie in planes: of each 32 numbers the lowest 4 (or 2) bits first.
Frantar et al. (2022), https://arxiv.org/abs/2210.17323.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.errors import InputError
from specdec_cli.models.hf.unused_tensors import AGAIN
from specdec_cli.models.quantization.gptq_config import Numbers
from specdec_cli.models.quantization.int4_format import fits_4_bits
from specdec_cli.models.quantization.linear import Int4Linear

WORD = 32
SETTINGS = "Check the checkpoint's GPTQ settings, or copy or download the model again."
PARTS = ("qweight", "qzeros", "scales", "g_idx")
PLANES = {3: (2, 1), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1)}  # widths, of the lowest bits first


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """One layer: numbers (K, N), zero points and scales (groups, N), and the group of each input (K,)."""

    whole: Tensor
    zero: Tensor
    scale: Tensor
    group: Tensor

    def dense(self) -> Tensor:
        """The weights that they stand for: (N, K) float32."""
        weight = self.whole.float()
        weight -= self.zero.float()[self.group]
        weight *= self.scale[self.group]
        return weight.T

    def four_bits(self, bias: Tensor | None, dtype: torch.dtype) -> Int4Linear | None:
        """The layer as it is, inputs in the order of their groups; None where torch has no product for it.

        In a float32 model it is computed in float32, so that its text is that of the dense model.
        """
        inputs, outputs = self.whole.shape
        size = inputs // len(self.scale)
        columns = torch.arange(inputs)
        order = self.group.argsort(stable=True)
        if not fits_4_bits(inputs, outputs, size) or not torch.equal(self.group[order], columns // size):
            return None
        offset = (8 - self.zero.float()) * self.scale
        moved = None if torch.equal(order, columns) else order
        computed_in = torch.float32 if dtype == torch.float32 else torch.bfloat16
        whole = self.whole[order].T
        return Int4Linear.from_whole(whole, self.scale, offset, bias, moved, computed_in, dtype)


def layer_shape(name: str, shapes: Mapping[str, tuple[int, ...]], numbers: Numbers) -> tuple[int, int]:
    """Outputs N and inputs K of a layer, from the shapes of its parts, which are checked.

    Raises:
        InputError: a part is missing or has another shape than the others ask for.
    """
    for part in PARTS[:3]:
        if part not in shapes:
            raise InputError(f"The GPTQ layer {name} lacks its {part}.", AGAIN)
        if len(shapes[part]) != 2:
            raise _wrong(f"{name}.{part}", shapes[part], "two dimensions")
    words, outputs = shapes["qweight"]
    inputs = words * WORD // numbers.bits
    if WORD % numbers.bits and outputs % WORD:
        wanted = f"columns in multiples of {WORD}, as {numbers.bits} bits are packed"
        raise _wrong(f"{name}.qweight", shapes["qweight"], wanted)
    if words % (numbers.bits // math.gcd(numbers.bits, WORD)) or not words:
        raise _wrong(f"{name}.qweight", shapes["qweight"], f"rows that hold numbers of {numbers.bits} bits")
    groups = 1 if numbers.group == -1 else -(-inputs // numbers.group)
    right: dict[str, tuple[int, ...]] = {
        "scales": (groups, outputs),
        "qzeros": (groups, -(-outputs * numbers.bits // WORD)),
    }
    if shapes.get("g_idx", (0,)) != (0,):
        right["g_idx"] = (inputs,)
    elif numbers.act_order and groups > 1:
        problem = f"The GPTQ layer {name} lacks its g_idx, and its settings say desc_act."
        raise InputError(problem, AGAIN)
    for part, shape in right.items():
        if shapes[part] != shape:
            wanted = f"{' x '.join(map(str, shape))} for {numbers.bits} bits in groups of {numbers.group}"
            raise _wrong(f"{name}.{part}", shapes[part], wanted)
    return outputs, inputs


def unpack(name: str, parts: Mapping[str, Tensor], numbers: Numbers) -> QuantizedLayer:
    """A layer's numbers from its parts, whose shapes are sound.

    Raises:
        InputError: a part holds what cannot be there.
    """
    for part in ("qweight", "qzeros"):
        if parts[part].dtype != torch.int32:
            raise _wrong(f"{name}.{part}", (), f"32-bit words, and it holds {parts[part].dtype}")
    scale = parts["scales"].float()
    if not bool(scale.isfinite().all()):
        raise InputError(f"{name}.scales holds values that are no finite numbers.", AGAIN)
    whole = _fields(parts["qweight"].T, numbers).T
    inputs, groups = len(whole), len(scale)
    group = parts.get("g_idx")
    if group is None or not group.numel():
        group = torch.arange(inputs) // (inputs if numbers.group == -1 else numbers.group)
    elif group.is_floating_point() or bool(((group < 0) | (group >= groups)).any()):
        raise InputError(f"{name}.g_idx names groups outside 0 to {groups - 1}.", AGAIN)
    return QuantizedLayer(whole, _zeros(parts["qzeros"], numbers)[:, : scale.shape[1]], scale, group.long())


def _zeros(words: Tensor, numbers: Numbers) -> Tensor:
    """Zero points (groups, N). The first version of the format stores them less one.

    It was subtracted from whole words, where a 0 borrows from its neighbour, so it is added to whole words.
    A layer that is said to be symmetric has its zero points in the middle, whichever its version.
    """
    stored = _fields(words, numbers)
    middle = 1 << (numbers.bits - 1)
    if numbers.symmetric and any(bool((stored == each).all()) for each in (middle - 1, middle)):
        return torch.full_like(stored, middle)
    if not numbers.less_one:
        return stored
    if WORD % numbers.bits:
        return (stored + 1) & ((1 << numbers.bits) - 1)
    ones = sum(1 << bit for bit in range(0, WORD, numbers.bits))
    whole = (words.long() + ones) & ((1 << WORD) - 1)
    return _fields(torch.where(whole >= 1 << (WORD - 1), whole - (1 << WORD), whole).int(), numbers)


def _fields(words: Tensor, numbers: Numbers) -> Tensor:
    """Words (R, C) to the whole numbers in each row, lowest bits first: (R, C * 32 / bits) uint8."""
    if numbers.planar:
        return _planes(words, numbers.bits)
    bits, size = numbers.bits, numbers.bits // math.gcd(numbers.bits, 8)
    octets = words.contiguous().view(torch.uint8).view(len(words), -1, size).int()  # hold whole numbers
    joined = octets[..., 0].clone()
    for index in range(1, size):
        joined |= octets[..., index] << (8 * index)
    mask, count = (1 << bits) - 1, 8 * size // bits
    fields = [(joined >> (bits * index) & mask).to(torch.uint8) for index in range(count)]
    return torch.stack(fields, -1).flatten(1)


def _planes(words: Tensor, bits: int) -> Tensor:
    blocks = words.reshape(len(words), -1, bits)  # as many words as bits hold 32 numbers
    found = torch.zeros(*blocks.shape[:2], WORD, dtype=torch.uint8)
    row = below = 0
    for width in PLANES[bits]:
        shifts = torch.arange(0, WORD, width, dtype=torch.int32)
        plane = (blocks[:, :, row : row + width, None] >> shifts) & ((1 << width) - 1)
        found |= plane.flatten(2).to(torch.uint8) << below
        row, below = row + width, below + width
    return found.flatten(1)


def _wrong(name: str, shape: tuple[int, ...], wanted: str) -> InputError:
    has = f" has the shape {' x '.join(map(str, shape))}, and" if shape else ""
    return InputError(f"{name}{has} should have {wanted}.", SETTINGS)
