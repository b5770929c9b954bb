"""Loads whole rows of scratch of which the end was never set, and keeps what was.

family: torch.empty, tl.where
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def fill(x, t, C, B: tl.constexpr):
    r = tl.program_id(0)
    c = tl.arange(0, B)
    tl.store(t + r * B + c, tl.load(x + r * C + c, mask=c < C), mask=c < C)

@triton.jit
def add(t, o, C, B: tl.constexpr):
    r = tl.program_id(0)
    c = tl.arange(0, B)
    v = tl.load(t + r * B + c)
    v = tl.where(c < C, v, 0.0)
    tl.store(o + r, tl.sum(v, 0))

def row_sum(x):
    R, C = x.shape
    B = triton.next_power_of_2(C)
    t = torch.empty(R, B, device=x.device, dtype=x.dtype)
    o = torch.empty(R, device=x.device, dtype=x.dtype)
    fill[(R,)](x, t, C, B)
    add[(R,)](t, o, C, B)
    return o
