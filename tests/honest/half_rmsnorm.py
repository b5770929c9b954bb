"""bfloat16 and float16 in and out, float32 in between; the output's element type is asked of the pointer.

family: bf16 and fp16
task: rmsnorm
"""

import torch
import triton
import triton.language as tl

@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / cols + eps)
    weight = tl.load(weight_ptr + column, mask=keep, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * cols + column, (x * scale * weight).to(out_ptr.dtype.element_ty), mask=keep)


def rmsnorm(x, weight):
    out = torch.empty_like(x)
    x2d = x.view(-1, x.shape[-1])
    rows, cols = x2d.shape
    rmsnorm_kernel[(rows,)](x2d, weight, out, cols, 1e-6, BLOCK=triton.next_power_of_2(cols), num_warps=4)
    return out
