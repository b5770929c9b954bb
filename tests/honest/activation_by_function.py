"""A jit function is passed as a constexpr argument and called in the kernel.

family: constexpr jit function
task: bias_relu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def relu(x):
    return tl.maximum(x, 0.0)


@triton.jit
def bias_kernel(x_ptr, bias_ptr, out_ptr, cols, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep) + tl.load(bias_ptr + column, mask=keep)
    tl.store(out_ptr + row * cols + column, ACTIVATION(x), mask=keep)


def bias_relu(x, bias):
    out = torch.empty_like(x)
    bias_kernel[(x.shape[0],)](x, bias, out, x.shape[1], ACTIVATION=relu, BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
