"""Precisions that weights are held in beside the number format a model computes in."""

from __future__ import annotations

OURS = ("int8", "int4")  # multiplied by torch's own operations, on a CPU
BITSANDBYTES = ("bnb-8bit", "bnb-4bit")  # by bitsandbytes, as a model is loaded
