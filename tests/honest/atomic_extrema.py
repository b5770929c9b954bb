"""Block extrema meet in two scalars by atomic_min and atomic_max; both start from a fill.

family: atomic_min, atomic_max on filled scalars
task: extrema
"""

import torch
import triton
import triton.language as tl


@triton.jit
def extrema_kernel(x_ptr, low_ptr, high_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.atomic_min(low_ptr, tl.min(tl.load(x_ptr + at, mask=keep, other=2147483647), axis=0))
    tl.atomic_max(high_ptr, tl.max(tl.load(x_ptr + at, mask=keep, other=-2147483648), axis=0))


def extrema(x):
    limits = torch.iinfo(x.dtype)
    low = torch.full((), limits.max, device=x.device, dtype=x.dtype)
    high = torch.full((), limits.min, device=x.device, dtype=x.dtype)
    n = x.numel()
    extrema_kernel[(triton.cdiv(n, 512),)](x, low, high, n, BLOCK=512)
    return {"low": low, "high": high}
