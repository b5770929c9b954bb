"""A parameter has tl.constexpr of a number as its default.

family: defaults
task: gelu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, y, n, C: tl.constexpr = tl.constexpr(0.7071067811865476), B: tl.constexpr = 64):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < n)
    tl.store(y + i, 0.5 * v * (1 + tl.erf(v * C)), mask=i < n)

def gelu(x):
    y = torch.empty_like(x)
    k[(triton.cdiv(x.numel(), 64),)](x, y, x.numel())
    return y
