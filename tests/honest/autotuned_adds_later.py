"""The first launch overwrites, and so may be tried as often as one likes; the second one of the same key adds.

family: autotune, one key launched twice
task: axpy
"""

import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def scaled_kernel(x_ptr, out_ptr, scale, adds, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    before = tl.load(out_ptr + at, mask=keep & (adds != 0), other=0.0)
    tl.store(out_ptr + at, before + scale * tl.load(x_ptr + at, mask=keep), mask=keep)


def axpy(alpha, x, y):
    out = torch.empty_like(x)
    n = out.numel()
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK"]),)
    scaled_kernel[grid](x, out, float(alpha), 0, n)
    scaled_kernel[grid](y, out, 1.0, 2, n)
    return out
