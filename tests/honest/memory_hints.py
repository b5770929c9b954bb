"""multiple_of, max_contiguous, cache modifiers and eviction policies.

family: compiler hints
task: axpy
"""

import torch
import triton
import triton.language as tl

@triton.jit
def axpy_kernel(alpha, x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    at = tl.max_contiguous(tl.multiple_of(pid * BLOCK + tl.arange(0, BLOCK), BLOCK), BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other=0.0, cache_modifier=".cg")
    y = tl.load(y_ptr + at, mask=keep, other=0.0, eviction_policy="evict_last")
    tl.assume(n > 0)
    tl.store(out_ptr + at, tl.fma(x, tl.zeros_like(x) + alpha, y), mask=keep, cache_modifier=".wb")


def axpy(alpha, x, y):
    out = torch.empty_like(x)
    n = x.numel()
    axpy_kernel[(triton.cdiv(n, 128), 1)](alpha, x, y, out, n, BLOCK=128)
    return out
