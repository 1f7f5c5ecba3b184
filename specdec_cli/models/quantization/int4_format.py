"""A matrix in 4 bits on disk: the endings of its two tensors, its groups, and which shapes it takes."""

from __future__ import annotations

from collections.abc import Iterable

WHOLE, GRID = ".whole", ".grid"  # endings: the numbers, two a byte; scale and offset of each group
GROUP = 32  # inputs that share a scale and an offset; the blocks of GGUF's 4-bit formats are as long
GROUPS = (32, 64, 128, 256)  # what torch's product takes
ROWS = 16  # outputs that torch's product takes at once


def fits_4_bits(inputs: int, outputs: int, group: int = GROUP) -> bool:
    """Whether torch has a 4-bit product for a matrix of that shape, with that many inputs to a grid."""
    even = inputs % group == 0 and outputs % ROWS == 0
    return group in GROUPS and even and min(inputs, outputs) > 0


def names_of_4_bits(names: Iterable[str]) -> list[str]:
    """The matrices that are held so, of the names of a file's tensors."""
    return [key.removesuffix(WHOLE) for key in names if key.endswith(WHOLE)]
