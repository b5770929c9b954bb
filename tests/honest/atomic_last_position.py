"""Column blocks vote for the last position by atomic_max; torch.full gives the default of -1.

family: atomic_max with a default from torch.full
task: last_positive
"""

import torch
import triton
import triton.language as tl


@triton.jit
def last_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    tl.atomic_max(out_ptr + row, tl.max(tl.where(x > 0, column, -1), axis=0), sem="relaxed")


def last_positive(x):
    rows, cols = x.shape
    out = torch.full((rows,), -1, device=x.device, dtype=torch.int32)
    last_kernel[(rows, triton.cdiv(cols, 128))](x, out, cols, BLOCK=128)
    return out
