"""Helpers whose defaults are computed from numbers of the module, infinities and fractions.

family: default arguments
task: softmax
"""

import math

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
SMALLEST = -math.inf


@triton.jit
def row_of(ptr, column, cols, other: tl.constexpr = float("-inf"), shift: tl.constexpr = 1 - 1):
    return tl.load(ptr + column + shift, mask=column < cols, other=other)


@triton.jit
def power(x, scale: tl.constexpr = 2.0 * LOG2E / 2, lowest: tl.constexpr = SMALLEST):
    return tl.exp2(tl.maximum(x, lowest) * scale)


@triton.jit
def part(x, whole, eps: tl.constexpr = 1 / 2**40, at_most: tl.constexpr = -(-math.inf)):
    return tl.minimum(x / tl.maximum(whole, eps), at_most)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    column = tl.arange(0, BLOCK)
    x = row_of(x_ptr + tl.program_id(0) * cols, column, cols)
    e = power(x - tl.max(x, axis=0))
    tl.store(out_ptr + tl.program_id(0) * cols + column, part(e, tl.sum(e, axis=0)), mask=column < cols)


def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
