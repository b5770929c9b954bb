"""Tiles in a while loop with a running total.

family: while loop
task: cumsum_rows
"""

import torch
import triton
import triton.language as tl

@triton.jit
def cumsum_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = 0.0
    start = 0
    while start < cols:
        column = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
        tl.store(out_ptr + row * cols + column, tl.cumsum(x, axis=0) + total, mask=column < cols)
        total += tl.sum(x, axis=0)
        start += BLOCK


def cumsum_rows(x):
    out = torch.empty_like(x)
    cumsum_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=16)
    return out
