"""32-bit values are widened before they are added, and rows are addressed with 64 bits.

family: int64 sums, int64 offsets
task: int_row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def sum_kernel(x_ptr, out_ptr, row_stride, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start_ptr = x_ptr + row * row_stride
    total = tl.zeros([BLOCK], dtype=tl.int64)
    for start in range(0, cols, BLOCK):
        column = start + tl.arange(0, BLOCK)
        total += tl.load(start_ptr + column, mask=column < cols, other=0).to(tl.int64)
    tl.store(out_ptr + row, tl.sum(total, axis=0))


def int_row_sum(x):
    out = torch.empty(x.shape[0], device=x.device, dtype=torch.int64)
    sum_kernel[(x.shape[0],)](x, out, x.stride(0), x.shape[1], BLOCK=512)
    return out
