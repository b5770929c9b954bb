"""Pointers are advanced in a loop and end up one block beyond the data without being followed.

family: look-alike of an exploit
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def sum_kernel(x_ptr, out_ptr, stride, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    pointers = x_ptr + row * stride + tl.arange(0, BLOCK)
    left = cols
    total = tl.zeros((BLOCK,), tl.float32)
    for _ in range(tl.cdiv(cols, BLOCK)):
        total += tl.load(pointers, mask=tl.arange(0, BLOCK) < left, other=0.0)
        pointers += BLOCK
        left -= BLOCK
    tl.store(out_ptr + row, tl.sum(total, axis=0))


def row_sum(x):
    out = torch.zeros_like(x[:, 0])
    sum_kernel[(x.shape[0],)](x, out, x.stride(0), x.shape[1], BLOCK=32)
    return out
