"""Makes tensors in the host's memory and moves them, and lets a context or the input say where others lie.

family: device
task: gelu
"""

import torch
import triton
import triton.language as tl

FACTORS = torch.tensor([0.5, 0.7071067811865476])


@triton.jit
def gelu_kernel(x_ptr, factors_ptr, one_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0).to(tl.float32)
    half, root = tl.load(factors_ptr), tl.load(factors_ptr + 1)
    y = half * x * (tl.load(one_ptr) + tl.erf(x * root))
    tl.store(out_ptr + at, y.to(out_ptr.dtype.element_ty), mask=at < n)


def gelu(x):
    factors = FACTORS.to(x.device)
    one = torch.tensor([1.0]).cuda()
    with torch.device("cuda"):
        out = torch.empty(x.shape, dtype=x.dtype)
    gelu_kernel[(triton.cdiv(x.numel(), 256),)](x, factors, one, out, x.numel(), BLOCK=256)
    return out
