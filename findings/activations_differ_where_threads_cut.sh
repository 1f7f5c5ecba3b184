#!/usr/bin/env bash
# torch 2.13.0 (CPU), x86-64 with AVX-512.
#
# silu and gelu in float32 are computed in vectors, and the numbers that are left at the end of a stretch one by
# one, by another formula: about one number in 25 (silu) or 15 (gelu, tanh) then differs in its last bit. Above
# 32,768 numbers (gelu: 16,384) torch cuts a tensor into a stretch for each thread, wherever that falls. So with
# three threads a row of a batch can have other bits than the same row alone. Seen:
#
#   silu: 1628 of 40000 numbers differ when computed one by one
#   1 to 80 rows of 4335 on 3 threads: rows differ from the same alone in 35 batches
#   1 to 80 rows of 4335 on 1 thread: in 0 batches
#
# What it means for speculative decoding: a gate of 1,536 numbers on two threads is safe by luck, since the cut falls
# between two vectors; on three or six threads a draft tree of 64 rows and plain decoding disagree. Fixing the
# products and the attention is not enough for equal bits.
#
# Exits with 1 if the two formulas agree, or if no row differs on 3 threads.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import silu

if torch.backends.cpu.get_cpu_capability() != "AVX512":
    sys.exit("This was seen with AVX-512 only.")
torch.manual_seed(0)
x = torch.randn(40000) * 4
single = torch.cat([silu(x[at : at + 1]) for at in range(len(x))])
apart = int((silu(x) != single).sum())
print(f"silu: {apart} of {len(x)} numbers differ when computed one by one")

gate = (torch.randn(80, 2 * 4335) * 4)[:, :4335]  # the first half of a row, as a gated layer reads it
differing = {}
for threads in (3, 1):
    torch.set_num_threads(threads)
    alone = torch.cat([silu(row[None]) for row in gate])
    differing[threads] = sum(not torch.equal(silu(gate[:n]), alone[:n]) for n in range(1, 81))
    print(f"1 to 80 rows of 4335 on {threads} thread(s): rows differ from the same alone in {differing[threads]} batches")
sys.exit(not (apart and differing[3] and not differing[1]))
PYTHON
