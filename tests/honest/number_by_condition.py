"""A run-time condition chooses between two numbers, and what it chose has the methods of a tensor.

family: conditional expressions on run-time values
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = 0.0
    for start in range(0, cols, BLOCK):
        left = cols - start
        at = tl.arange(0, BLOCK)
        whole = (1 if left >= BLOCK else 0).to(tl.int1)
        total += tl.sum(tl.load(x_ptr + row * cols + start + at, mask=(at < left) | whole, other=0.0), axis=0)
    tl.store(out_ptr + row, total.to(out_ptr.dtype.element_ty))


def row_sum(x):
    out = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
    row_sum_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=32)
    return out
