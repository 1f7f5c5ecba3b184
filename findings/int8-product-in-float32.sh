#!/usr/bin/env bash
# torch 2.13.0 (CPU), x86-64 with AVX2 or AVX-512, one thread.
#
# torch.ops.aten._weight_int8pack_mm multiplies float32, float16 and bfloat16 rows by 8-bit weights. Only
# bfloat16 has a vectorised kernel: the same product of float32 rows is right, and many times slower. Seen for
# weights of 1536 x 576 with AVX-512 on a busy machine, times in microseconds:
#
#   rows 1: bfloat16 24, float32 573
#   rows 8: bfloat16 95, float32 16853
#
# What it means for speculative decoding: a draft in 8 bits whose activations are float32 takes longer than the
# target it drafts for, without a warning. Cast the rows to bfloat16 before the product and its result back: the
# cast costs a few microseconds. The result is then rounded to bfloat16, so that passes of other shapes differ
# by more than in float32, and near ties may fall the other way.
#
# Exits with 1 if float32 rows are not at least five times slower any more.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(0)
product = torch.ops.aten._weight_int8pack_mm
weight = torch.randint(-127, 128, (1536, 576), dtype=torch.int8)
scale = torch.rand(1536).bfloat16()


def least(call):
    call()
    times = []
    for _ in range(9):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times) * 1e6


print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
ratios = []
for rows in (1, 8):
    x = torch.randn(rows, 576).bfloat16()
    expected = x.double() @ weight.double().T * scale.double()
    for dtype in (torch.bfloat16, torch.float32):
        found = product(x.to(dtype), weight, scale.to(dtype)).double()
        assert (found - expected).abs().max() < 0.02 * expected.abs().max(), "a product is wrong"
    fast = least(lambda: product(x, weight, scale))
    slow = least(lambda: product(x.float(), weight, scale.float()))
    ratios.append(slow / fast)
    print(f"rows {rows}: bfloat16 {fast:.0f} us, float32 {slow:.0f} us, {slow / fast:.0f} times")
sys.exit(min(ratios) < 5)
PYTHON
