"""Plain Python functions work out constants while the kernel compiles.

family: triton.constexpr_function
task: softmax
"""

import torch
import triton
import triton.language as tl

SMALLEST = tl.constexpr(16)


@triton.constexpr_function
def doubled(times, start=1):
    found = start
    for _ in range(times):
        found *= 2
    return found


@triton.constexpr_function
def width(cols):
    times = 0
    while doubled(times) < cols:
        times += 1
    return max(doubled(times), SMALLEST)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, COLS: tl.constexpr):
    BLOCK: tl.constexpr = width(COLS)
    column = tl.arange(0, BLOCK)
    at = tl.program_id(0) * COLS + column
    x = tl.load(x_ptr + at, mask=column < COLS, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + at, e / tl.sum(e, axis=0), mask=column < COLS)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1])
    return out
