"""A masked copy that writes infinities, which must come out as infinities.

family: infinite outputs
task: causal_mask
"""

import torch
import triton
import triton.language as tl


@triton.jit
def mask_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols)
    tl.store(out_ptr + row * cols + column, tl.where(column > row, -float("inf"), x), mask=column < cols)


def causal_mask(scores):
    out = torch.empty_like(scores)
    cols = scores.shape[1]
    mask_kernel[(scores.shape[0],)](scores, out, cols, BLOCK=triton.next_power_of_2(cols))
    return out
