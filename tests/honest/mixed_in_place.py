"""A torch operator changes the input in place after a kernel has scaled the other one.

family: mixed policy, output in place
task: axpy_in_place
policy: mixed
"""

import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, out_ptr, alpha, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n) * alpha, mask=at < n)


def axpy_in_place(x, y, alpha):
    scaled = torch.empty_like(x)
    scale_kernel[(triton.cdiv(x.numel(), 256),)](x, scaled, alpha, x.numel(), BLOCK=256)
    return y.add_(scaled)
