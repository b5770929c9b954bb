"""Scalars that change often are not specialised.

family: do_not_specialize
task: int_affine
"""

import torch
import triton
import triton.language as tl

@triton.jit(do_not_specialize=["scale", "shift"])
def affine_kernel(x_ptr, out_ptr, scale, shift, n: tl.int32, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0)
    y = x * scale + shift
    y = tl.where(y > 127, 127, y)
    y = tl.where(y < -128, -128, y)
    tl.store(out_ptr + at, y.to(tl.int8), mask=at < n)


def int_affine(x, scale, shift):
    out = torch.empty_like(x, dtype=torch.int8)
    affine_kernel[(triton.cdiv(x.numel(), 128),)](x, out, scale, shift, x.numel(), BLOCK=128)
    return out
