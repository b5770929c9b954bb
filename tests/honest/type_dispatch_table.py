"""A table from torch dtypes to Triton dtypes, passed as constexpr.

family: constexpr dtype
task: rmsnorm
"""

import torch
import triton
import triton.language as tl

TYPES = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}


@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, stride, cols, OUT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * stride + column, mask=keep, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + column, mask=keep, other=0.0).to(tl.float32)
    y = x * (1.0 / tl.sqrt(tl.sum(x * x, axis=0) / cols + 1e-6)) * weight
    tl.store(out_ptr + row * stride + column, y.to(OUT), mask=keep)


def rmsnorm(x, weight):
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows, cols = x.shape
    rmsnorm_kernel[(rows,)](
        x, weight, out, x.stride(0), cols, OUT=TYPES[x.dtype], BLOCK=triton.next_power_of_2(cols)
    )
    return out
