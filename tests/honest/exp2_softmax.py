"""exp2 with log2(e) folded into the input, as flash attention does.

family: exp2, constexpr global
task: softmax
"""

import math

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=-float("inf"))
    e = tl.math.exp2((x - tl.max(x, axis=0)) * LOG2E)
    tl.store(out_ptr + row * cols + column, e / tl.sum(e, axis=0), mask=column < cols)


def softmax(x):
    out = torch.empty_like(x)
    block = 2 ** math.ceil(math.log2(x.shape[1]))
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=block)
    return out
