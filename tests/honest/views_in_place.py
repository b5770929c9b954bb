"""Shapes changed in place, as in `x.unsqueeze_(0)`: the same memory under another shape.

family: views and strides
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + row * stride + at, mask=at < n, other=0.0)
    tl.store(out_ptr + row, tl.sum(total))


def row_sum(x):
    rows, n = x.shape
    out = torch.empty(rows, device=x.device, dtype=x.dtype).unsqueeze_(0).t_().squeeze_(1)
    row_sum_kernel[(rows,)](x, out, n, x.stride(0), BLOCK=64)
    return out
