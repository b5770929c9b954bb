"""Configurations that do not fit the number of columns say so by an assertion, and the autotuner passes over them.

family: autotune, configurations that are unfit for some shapes
task: bias_relu
"""

import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({"BLOCK": block}) for block in (32, 64, 16, 2, 1)], key=["cols"])
@triton.jit
def bias_relu_kernel(x_ptr, bias_ptr, out_ptr, cols: tl.constexpr, BLOCK: tl.constexpr):
    tl.static_assert(cols % BLOCK == 0, "cols must be a multiple of BLOCK")
    row = tl.program_id(0)
    for start in range(0, cols, BLOCK):
        column = start + tl.arange(0, BLOCK)
        value = tl.load(x_ptr + row * cols + column) + tl.load(bias_ptr + column)
        tl.store(out_ptr + row * cols + column, tl.maximum(value, 0.0))


def bias_relu(x, bias):
    rows, cols = x.shape
    out = torch.empty_like(x)
    bias_relu_kernel[(rows,)](x, bias, out, cols)
    return out
