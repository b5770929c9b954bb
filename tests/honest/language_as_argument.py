"""Functions of Triton's language are passed as compile-time arguments; a library is one of two by an expression.

family: constexpr function of the language
task: gelu
"""

import torch
import triton
import triton.language as tl

libdevice = tl.extra.libdevice if hasattr(tl, "extra") else tl.math


@triton.jit
def gelu_kernel(x_ptr, out_ptr, n, SHAPE: tl.constexpr, LARGER: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    y = 0.5 * x * (1 + SHAPE(x * 0.7071067811865476))
    tl.store(out_ptr + at, tl.where(LARGER(x, 0.0) > 0, y, 0.5 * x * libdevice.erfc(x * -0.7071067811865476)), mask=at < n)


def gelu(x):
    out = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), SHAPE=tl.erf, LARGER=tl.maximum, BLOCK=64)
    return out
