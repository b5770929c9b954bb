"""One of the inputs is the output, as the task asks.

family: output in place
task: axpy_in_place
"""

import torch
import triton
import triton.language as tl


@triton.jit
def axpy_kernel(x_ptr, y_ptr, alpha, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    y = tl.load(y_ptr + at, mask=keep)
    tl.store(y_ptr + at, tl.load(x_ptr + at, mask=keep) * alpha + y, mask=keep)


def axpy_in_place(x, y, alpha):
    axpy_kernel[(triton.cdiv(y.numel(), 256),)](x, y, alpha, y.numel(), BLOCK=256)
    return y
