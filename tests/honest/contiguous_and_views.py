"""contiguous, view(-1), flatten, reshape and a slice before and after the launch.

family: views and reshapes
task: transpose_add
"""

import torch
import triton
import triton.language as tl

@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=keep) + tl.load(y_ptr + at, mask=keep), mask=keep)


def transpose_add(x, y):
    shape = x.shape
    x = x.contiguous().view(-1)
    y = y.flatten()
    n = x.numel()
    padded = torch.empty(n + 16, device=x.device, dtype=x.dtype)
    out = padded[16:]
    add_kernel[(triton.cdiv(n, 64),)](x, y, out, n, BLOCK=64)
    return out.reshape(shape)
