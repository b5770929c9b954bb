"""Functions of the language by names that a condition, an expression or a star import gave them.

family: language names without tl
task: softmax
"""
# ruff: noqa: F403, F405

import torch
import triton
import triton.language as tl
from triton.language import *

if hasattr(tl, "math") and hasattr(tl.math, "exp2"):
    power = tl.math.exp2
else:
    power = tl.exp2
peak_of = getattr(tl, "max") if torch.cuda.is_available() else None  # noqa: B009
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    column = arange(0, BLOCK)
    at = program_id(0) * cols + column
    x = load(x_ptr + at, mask=column < cols, other=-float("inf"))
    e = power((x - peak_of(x, axis=0)) * LOG2E)
    store(out_ptr + at, e / sum(e, axis=0), mask=column < cols)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
