"""A constexpr string chooses the activation.

family: constexpr string
task: bias_relu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def activate(x, ACT: tl.constexpr):
    if ACT == "relu":
        return tl.maximum(x, 0.0)
    elif ACT == "leaky":
        return tl.where(x > 0, x, 0.01 * x)
    else:
        return x


@triton.jit
def bias_kernel(x_ptr, bias_ptr, out_ptr, rows, cols, ACT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep) + tl.load(bias_ptr + column, mask=keep)
    tl.store(out_ptr + row * cols + column, activate(x, ACT), mask=keep)


def bias_relu(x, bias, activation="relu"):
    out = torch.empty_like(x)
    rows, cols = x.shape
    bias_kernel[(rows,)](x, bias, out, rows, cols, ACT=activation, BLOCK=triton.next_power_of_2(cols))
    return out
