"""Python's min and max clamp a block, and say how much of it there is.

family: builtin min and max on blocks
task: int_affine
"""

import torch
import triton
import triton.language as tl


@triton.jit
def affine_kernel(x_ptr, out_ptr, n, scale, shift, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    size = min(BLOCK, n - start)
    lane = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + start + lane, mask=lane < size, other=0)
    y = min(max(x * scale + shift, -128), 127)
    tl.store(out_ptr + start + lane, y.to(tl.int8), mask=lane < size)


def int_affine(x, scale, shift):
    out = torch.empty_like(x, dtype=torch.int8)
    affine_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), scale, shift, BLOCK=128)
    return out
