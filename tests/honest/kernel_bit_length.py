"""Bit_length of a compile-time number inside the kernel, as bm3d-triton has it.

family: bit_length of a compile-time number inside the kernel, as bm3d-triton has it
task: row_sum
"""

import torch
import triton
import triton.language as tl

@triton.jit
def k(x, o, n, B: tl.constexpr):
    r = tl.program_id(0)
    c = tl.arange(0, B)
    v = tl.load(x + r * n + c, c < n, 0.0)
    for s in tl.static_range(0, triton.next_power_of_2(B).bit_length() - 1):
        v = v + tl.gather(v, c ^ (1 << s), 0)
    tl.store(o + r, tl.sum(tl.where(c == 0, v, 0.0), 0))


def row_sum(x):
    o = torch.empty(x.shape[0], device=x.device)
    k[(x.shape[0],)](x, o, x.shape[1], B=triton.next_power_of_2(x.shape[1]))
    return o
