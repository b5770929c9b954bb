"""Writes floats by exchanging them for what was there.

family: atomics
task: gelu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def k(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.atomic_xchg(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=at < n)


def gelu(x):
    out = torch.empty_like(x)
    k[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
    return out
