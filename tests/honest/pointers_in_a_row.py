"""A kernel takes any number of pointers as `*pointers`.

family: variable number of arguments
task: axpy
"""

import torch
import triton
import triton.language as tl


@triton.jit
def sum_kernel(out_ptr, n, alpha, BLOCK: tl.constexpr, *pointers):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = alpha * tl.load(pointers[0] + at, mask=at < n)
    for number in tl.static_range(1, len(pointers)):
        total += tl.load(pointers[number] + at, mask=at < n)
    tl.store(out_ptr + at, total, mask=at < n)


def axpy(alpha, x, y):
    out = torch.empty_like(x)
    sum_kernel[(triton.cdiv(x.numel(), 128),)](out, x.numel(), alpha, 128, x, y)
    return out
