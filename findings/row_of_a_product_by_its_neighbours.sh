#!/usr/bin/env bash
# torch 2.13.0 (CPU), x86-64 (seen on an AMD EPYC with AVX-512-BF16).
#
# Whether a row of x @ w.T is the same bits alone and beside others depends on the kind of product, the shape and the
# number of rows, and in no case is it said anywhere. Seen (numbers of rows, of 1 to 64, of which the first row is not
# what it is in a call of 64):
#
#   float32 linear 576 -> 960:                 1, 2, 3
#   float32 linear 576 -> 960, by oneDNN:      none
#   float32 linear 1536 -> 576, by oneDNN:     1
#   bfloat16 linear 1536 -> 576:               1
#
# In bfloat16 the rounded result hides most of it: random numbers show the last line in about one output of 2,000. Rows
# whose products cancel, so that only rounding is left, show it in nearly every output; they are what is used here.
#
# What it means for speculative decoding: a tree's row and plain decoding's differ, and in a few dozen tokens a tie
# falls the other way. Padding one row to two (oneDNN), or to a multiple of four (MKL), is enough on this machine;
# which number is enough has to be tried on each.
#
# Exits with 1 if a plain float32 product no longer depends on its rows, or if bfloat16 no longer does.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import linear

torch.set_num_threads(2)
torch.manual_seed(0)


def cancelling(outputs, inputs, dtype):
    """A weight and 64 rows whose products are nothing but rounding: each input twice, once with the other sign."""
    one, other = torch.randperm(inputs).chunk(2)
    weight, rows = torch.randn(outputs, inputs), torch.randn(64, inputs)
    weight[:, other], rows[:, other] = weight[:, one], -rows[:, one]
    return weight.to(dtype), rows.to(dtype)


def differing(product, rows):
    expected = product(rows)
    return [n for n in range(1, 64) if not torch.equal(product(rows[:n].clone())[:1], expected[:1])]


def packed(weight):
    ready = torch.ops.mkldnn._reorder_linear_weight(weight, 32)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, ready, None, "none", [], "")


found = {}
for outputs, inputs, dtype in ((960, 576, torch.float32), (576, 1536, torch.float32), (576, 1536, torch.bfloat16)):
    weight, rows = cancelling(outputs, inputs, dtype)
    for name, product in (("linear", lambda x: linear(x, weight)), ("by oneDNN", packed(weight))):
        found[outputs, dtype, name] = differing(product, rows)
        told = ", ".join(map(str, found[outputs, dtype, name])) or "none"
        print(f"{dtype} {inputs} -> {outputs}, {name}: {told}")
plain, coarse = found[960, torch.float32, "linear"], found[576, torch.bfloat16, "linear"]
sys.exit(not (plain and coarse))
PYTHON
