"""tl.softmax-like helpers of the language: tl.sigmoid is not needed, tl.fdiv and tl.full are.

family: helpers of triton.language
task: softmax
"""

import torch
import triton
import triton.language as tl

@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    lowest = tl.full([BLOCK], float("-inf"), tl.float32)
    x = tl.where(column < cols, tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0), lowest)
    e = tl.exp(x - tl.max(x, axis=0, keep_dims=True))
    tl.store(out_ptr + row * cols + column, tl.fdiv(e, tl.sum(e, axis=0, keep_dims=True)), mask=column < cols)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
