"""Softmax as exp(x - logsumexp) with tl.log, and an explicit cast.

family: tl.log, explicit casts
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=-float("inf")).to(tl.float32)
    peak = tl.max(x, 0)
    lse = peak + tl.log(tl.sum(tl.exp(x - peak), 0))
    tl.store(out_ptr + row * cols + column, tl.exp(x - lse).to(out_ptr.dtype.element_ty), mask=column < cols)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
