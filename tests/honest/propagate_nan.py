"""Maximum and clamp with PropagateNan, and a conversion with its rounding named.

family: propagate_nan and rounding options
task: bias_relu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def bias_relu_kernel(x_ptr, b_ptr, o_ptr, n, cols, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    v = tl.load(x_ptr + i, mask=m) + tl.load(b_ptr + i % cols, mask=m)
    v = tl.clamp(tl.maximum(v, 0.0, propagate_nan=tl.PropagateNan.ALL), 0.0, 1e30, propagate_nan=tl.PropagateNan.NONE)
    tl.store(o_ptr + i, v.to(o_ptr.dtype.element_ty), mask=m)


def bias_relu(x, bias):
    out = torch.empty_like(x)
    n = x.numel()
    bias_relu_kernel[(triton.cdiv(n, 128),)](x, bias, out, n, x.shape[-1], BLOCK=128)
    return out
