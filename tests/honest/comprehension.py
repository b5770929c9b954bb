"""A tuple of pointers is read by a comprehension.

family: comprehensions
task: axpy
"""

import torch
import triton
import triton.language as tl


@triton.jit
def axpy_kernel(alpha, pointers, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    first = tl.load(pointers[0] + at, mask=keep)
    others = [tl.load(pointer + at, mask=keep) for pointer in pointers]
    tl.store(out_ptr + at, alpha * first + others[1], mask=keep)


def axpy(alpha, x, y):
    out, n = torch.empty_like(x), x.numel()
    axpy_kernel[(triton.cdiv(n, 128),)](alpha, (x, y), out, n, BLOCK=128)
    return out
