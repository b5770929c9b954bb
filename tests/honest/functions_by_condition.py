"""Two functions of one name, one of which Python chooses, and a kernel whose second version follows the first.

family: several functions of one name
task: bias_relu
"""

import os

import torch
import triton
import triton.language as tl

if os.environ.get("FAST_OPS", "0") == "1":

    @triton.jit
    def act(x):
        return tl.maximum(x, 0.0)

else:

    @triton.jit
    def act(x, low: tl.constexpr = 0.0):
        return tl.where(x > low, x, low)


@triton.jit
def bias_kernel(x_ptr, bias_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    column = tl.arange(0, BLOCK)
    at = tl.program_id(0) * cols + column
    x = tl.load(x_ptr + at, mask=column < cols) + tl.load(bias_ptr + column, mask=column < cols)
    tl.store(out_ptr + at, tl.maximum(x, 0.0), mask=column < cols)


# Second version: the bias is added by a function of its own.
@triton.jit
def bias_kernel(x_ptr, bias_ptr, out_ptr, cols, BLOCK: tl.constexpr):  # noqa: F811
    column = tl.arange(0, BLOCK)
    at = tl.program_id(0) * cols + column
    x = tl.load(x_ptr + at, mask=column < cols) + tl.load(bias_ptr + column, mask=column < cols)
    tl.store(out_ptr + at, act(x), mask=column < cols)


def bias_relu(x, bias):
    out = torch.empty_like(x)
    bias_kernel[(x.shape[0],)](x, bias, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
