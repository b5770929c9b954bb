"""Warps, stages, clusters of one, and a cap on registers are given at launch.

family: num_warps, num_stages, num_ctas, maxnreg
task: softmax
"""

import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * cols + column, e / tl.sum(e, axis=0), mask=keep)


def softmax(x):
    rows, cols = x.shape
    out = torch.empty_like(x)
    block = triton.next_power_of_2(cols)
    softmax_kernel[(rows,)](
        x, out, cols, BLOCK=block, num_warps=8 if block >= 2048 else 4, num_stages=2, num_ctas=1, maxnreg=128
    )
    return out
