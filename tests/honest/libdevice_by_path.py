"""libdevice by its whole path from tl, with a whole number for a power, and a default value that has a name.

family: libdevice
task: gelu
"""

import torch
import triton
import triton.language as tl

HALF: tl.constexpr = tl.constexpr(0.5)


@triton.jit
def gelu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, scale: tl.constexpr = HALF):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    square = tl.extra.cuda.libdevice.pow(x, 2)
    root = tl.extra.cuda.libdevice.sqrt(square) * tl.where(x < 0, -1.0, 1.0)
    tl.store(out_ptr + at, scale * root * (1.0 + tl.erf(root * 0.7071067811865476)), mask=at < n)


def gelu(x):
    out = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out
