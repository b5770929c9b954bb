"""Kernels raise exceptions where a constant is none that they know, as Python does; nothing of it is compiled.

family: raise in kernels
task: bias_relu
"""

import torch
import triton
import triton.language as tl


@triton.constexpr_function
def halved(size):
    if size % 2 != 0:
        raise ValueError(f"{size} is odd")
    return size // 2


@triton.jit
def activated(x, NAME: tl.constexpr):
    if NAME == "relu":
        return tl.maximum(x, 0.0)
    elif NAME == "none":
        return x
    else:
        raise NotImplementedError(f"no activation {NAME}")


@triton.jit
def bias_relu_kernel(x_ptr, bias_ptr, out_ptr, cols, stride, BLOCK: tl.constexpr):
    if BLOCK < 16:
        raise AssertionError("blocks are too small")
    HALF: tl.constexpr = halved(BLOCK)
    row = tl.program_id(0)
    for first in range(0, cols, HALF):
        column = first + tl.arange(0, HALF)
        x = tl.load(x_ptr + row * stride + column, mask=column < cols)
        x += tl.load(bias_ptr + column, mask=column < cols)
        tl.store(out_ptr + row * stride + column, activated(x, "relu"), mask=column < cols)


def bias_relu(x, bias):
    out = torch.empty_like(x)
    block = max(triton.next_power_of_2(x.shape[1]), 16)
    bias_relu_kernel[(x.shape[0],)](x, bias, out, x.shape[1], x.stride(0), BLOCK=block)
    return out
