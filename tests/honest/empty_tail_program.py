"""The grid overshoots; whole programs are masked out, and a masked address would lie far outside.

family: look-alike of an exploit
task: axpy
"""

import torch
import triton
import triton.language as tl

@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other=0.0)
    y = tl.load(y_ptr + at, mask=keep, other=0.0)
    tl.store(out_ptr + at, x * alpha + y, mask=keep)


def axpy(alpha, x, y):
    out = torch.empty_like(x)
    axpy_kernel[(triton.next_power_of_2(triton.cdiv(x.numel(), 64)) + 8,)](alpha, x, y, out, x.numel(), BLOCK=64)
    return out
