"""An optional pointer is None and switched off by `is None`.

family: optional pointer
task: bias_relu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def bias_kernel(x_ptr, bias_ptr, residual_ptr, out_ptr, cols, HAS_BIAS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep)
    if HAS_BIAS:
        x += tl.load(bias_ptr + column, mask=keep)
    if residual_ptr is not None:
        x += tl.load(residual_ptr + row * cols + column, mask=keep)
    tl.store(out_ptr + row * cols + column, tl.maximum(x, 0), mask=keep)


def bias_relu(x, bias, residual=None):
    out = torch.empty_like(x)
    bias_kernel[(x.shape[0],)](
        x, bias, residual, out, x.shape[1], HAS_BIAS=bias is not None, BLOCK=triton.next_power_of_2(x.shape[1])
    )
    return out
