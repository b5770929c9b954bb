"""Copies the input into a buffer of its own and works on that in place, in two launches.

family: in-place work on its own buffer
task: bias_relu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def add_kernel(buffer_ptr, bias_ptr, n, cols, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    value = tl.load(buffer_ptr + at, mask=keep) + tl.load(bias_ptr + at % cols, mask=keep)
    tl.store(buffer_ptr + at, value, mask=keep)


@triton.jit
def relu_kernel(buffer_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    value = tl.load(buffer_ptr + at, mask=keep)
    tl.store(buffer_ptr + at, tl.where(value > 0, value, 0.0), mask=keep)


def bias_relu(x, bias):
    buffer = x.clone()
    n = buffer.numel()
    grid = (triton.cdiv(n, 64),)
    add_kernel[grid](buffer, bias, n, x.shape[1], BLOCK=64)
    relu_kernel[grid](buffer, n, BLOCK=64)
    return buffer
