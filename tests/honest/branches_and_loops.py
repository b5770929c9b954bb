"""Branches leave what was None alone, loops share a variable, constants choose what a function returns.

family: control flow
task: gelu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def halved(x, KIND: tl.constexpr):
    if KIND == "none":
        return x
    if KIND == "half":
        return x * 0.5
    return x * 0.25


@triton.jit
def scaled(x, by=1.0, other=0.0):
    return x * by + other


@triton.jit
def pick(x, count: tl.constexpr):
    total = x * 0.0
    for i in tl.static_range(count):
        total += x
    return total / (i + 1)


@triton.jit
def kernel(x_ptr, out_ptr, n: tl.int64, steps, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    mask = None
    if first < n:
        at = first + tl.arange(0, BLOCK)
        mask = at < n
        x = tl.load(x_ptr + at, mask=mask, other=0.0)
        total = x * 0.0
        for i in range(tl.cdiv(steps, 2)):
            total += x
        for i in range(tl.cdiv(steps, 2), steps):
            total += x * (i >= 0).to(tl.float32)
        x = scaled(pick(total, 3), by=tl.where(n > 0, 1.0, 0.0)) / tl.cast(steps, tl.float32)
        half = [part for part in (halved(x, "half"), x)]
        grown = half[0] * (x.shape[0] / BLOCK)
        tl.store(out_ptr + at, scaled(grown, 1.0 + tl.erf(x * 0.7071067811865476), other=x * 0.0), mask=mask)


def gelu(x):
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), 3, BLOCK=128)
    return out
