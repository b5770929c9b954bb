"""Adds bfloat16 numbers atomically to zeros.

family: atomics
task: masked_scale
"""

import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, mask_ptr, out_ptr, scale, fill, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    keep = tl.load(mask_ptr + at, mask=inside, other=0).to(tl.int1)
    y = tl.where(keep, x * scale, fill)
    tl.atomic_add(out_ptr + at, y.to(tl.bfloat16), mask=inside, sem="relaxed")


def masked_scale(x, mask, scale, fill):
    out = torch.zeros_like(x)
    n = x.numel()
    scale_kernel[(triton.cdiv(n, 256),)](x, mask, out, scale, fill, n, BLOCK=256)
    return out
