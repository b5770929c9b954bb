"""float64 in and out; the Python float alpha arrives as one too.

family: float64
task: axpy_double
"""

import torch
import triton
import triton.language as tl


@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep)
    y = tl.load(y_ptr + at, mask=keep)
    tl.store(out_ptr + at, x * alpha.to(tl.float64) + y, mask=keep)


def axpy_double(alpha, x, y):
    out = torch.empty_like(x)
    axpy_kernel[(triton.cdiv(x.numel(), 256),)](alpha, x, y, out, x.numel(), BLOCK=256)
    return out
