"""Column blocks add atomically into a zero-initialised output.

family: atomic_add
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def sum_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    tl.atomic_add(out_ptr + row, tl.sum(x, axis=0))


def row_sum(x):
    rows, cols = x.shape
    out = torch.zeros((rows,), dtype=x.dtype, device=x.device)
    sum_kernel[(rows, triton.cdiv(cols, 64))](x, out, cols, BLOCK=64)
    return out
