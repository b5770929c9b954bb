"""A bool mask chooses between a scaled value and a fill, all stored as bfloat16.

family: bool input, bfloat16
task: masked_scale
"""

import torch
import triton
import triton.language as tl


@triton.jit
def masked_kernel(x_ptr, mask_ptr, out_ptr, n, scale, fill, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    x = tl.load(x_ptr + at, mask=keep, other=0.0).to(tl.float32)
    chosen = tl.load(mask_ptr + at, mask=keep, other=0).to(tl.int1)
    tl.store(out_ptr + at, tl.where(chosen, x * scale, fill).to(tl.bfloat16), mask=keep)


def masked_scale(x, mask, scale, fill):
    out = torch.empty_like(x)
    n = x.numel()
    masked_kernel[(triton.cdiv(n, 512),)](x, mask, out, n, scale, fill, BLOCK=512)
    return out
