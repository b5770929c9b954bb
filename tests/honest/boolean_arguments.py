"""Flags that are no compile-time constants, and methods of tensors.

family: arguments
task: bias_relu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def bias_relu_kernel(x_ptr, bias_ptr, out_ptr, cols, has_bias, clip, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < cols
    y = tl.load(x_ptr + row * cols + at, mask=inside, other=0.0)
    if has_bias and cols > 0:
        y += tl.load(bias_ptr + at, mask=inside, other=0.0)
    if not clip:
        y = (y * y).sqrt() * 0.5 + y * 0.5
    tl.store(out_ptr + row * cols + at, y, mask=inside)


def bias_relu(x, bias):
    out = torch.empty_like(x)
    rows, cols = x.shape
    bias_relu_kernel[(rows,)](x, bias, out, cols, bias is not None, False, BLOCK=triton.next_power_of_2(cols))
    return out
