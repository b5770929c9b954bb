"""The loop variable is used as the tensor that it is: widened, divided, compared; a scalar test is part of a mask.

family: loops
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def sum_kernel(x_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, cols, BLOCK):
        at = start.to(tl.int64) + tl.arange(0, BLOCK)
        wanted = tl.where(start < cols, 0, cols)
        total += tl.load(x_ptr + row * cols + at, mask=(at < cols) & (wanted == 0), other=0.0)
    extra = 0.0
    for part in tl.range(0, tl.cdiv(cols, BLOCK), num_stages=2):
        if (part - 1) // 2 == 0:  # rounds towards zero, so this holds for parts 0, 1 and 2
            extra += (part * 0).to(tl.float32)
    tl.store(out_ptr + row, tl.sum(total, axis=0) + extra)


def row_sum(x):
    rows, cols = x.shape
    out = torch.empty(rows, device=x.device, dtype=x.dtype)
    sum_kernel[(rows,)](x, out, rows, cols, BLOCK=64)
    return out
