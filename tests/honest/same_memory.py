"""Asks by their addresses whether two tensors are the same memory, and how far they are aligned.

family: questions about addresses
task: axpy_in_place
"""

import torch
import triton
import triton.language as tl


@triton.jit
def axpy_kernel(x_ptr, y_ptr, out_ptr, alpha, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.load(y_ptr + at, mask=at < n) + alpha * tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, y, mask=at < n)


def run(x, y, alpha, out):
    in_place = out.data_ptr() == y.data_ptr()
    if x.data_ptr() == out.data_ptr() or not in_place:
        raise ValueError("x and out overlap")
    block = 128 if x.data_ptr() % 16 == 0 else 32
    axpy_kernel[(triton.cdiv(y.numel(), block),)](x, y, out, alpha, y.numel(), BLOCK=block)
    return out


def axpy_in_place(x, y, alpha):
    return run(x, y, alpha, out=y)
