"""Comparisons combined with & and stored into a bool tensor.

family: bool output
task: in_range
"""

import torch
import triton
import triton.language as tl

@triton.jit
def range_kernel(x_ptr, out_ptr, low, high, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, (x >= low) & (x <= high), mask=at < n)


def in_range(x, low, high):
    out = torch.empty(x.shape, device=x.device, dtype=torch.bool)
    range_kernel[(triton.cdiv(x.numel(), 64),)](x, out, low, high, x.numel(), BLOCK=64)
    return out
