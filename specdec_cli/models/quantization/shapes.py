"""Which matrices torch's 8- and 4-bit products take, on every processor, and what they take in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from specdec_cli.models.quantization.int4_format import GROUP, fits_4_bits

EVEN_ROWS, EVEN_COLUMNS = 16, 32  # what the blocks of torch's 8-bit product divide, on every processor


def shape_fits(kind: str, shape: Sequence[int]) -> bool:
    """Whether a matrix (N, K) can be held in `kind`: "int8" or "int4"."""
    return (kind == "int8" and min(shape) > 0) or fits_4_bits(shape[1], shape[0])


def evenly(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns that torch's 8-bit product takes on every processor, at least those of (N, K)."""
    return -(-shape[0] // EVEN_ROWS) * EVEN_ROWS, -(-shape[1] // EVEN_COLUMNS) * EVEN_COLUMNS


def low_bytes(kind: str, shape: Sequence[int]) -> int:
    """Bytes of a matrix (N, K) that is held in `kind`."""
    rows, columns = evenly(shape)
    numbers = math.prod(shape)
    return rows * columns + 2 * rows if kind == "int8" else numbers // 2 + 4 * numbers // GROUP
