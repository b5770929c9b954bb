"""An autograd function with a forward and a backward of its own, called with apply.

family: torch.autograd.Function
task: gelu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def forward_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=at < n)


@triton.jit
def backward_kernel(x_ptr, grad_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    slope = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * tl.exp(-0.5 * x * x) * 0.3989422804014327
    tl.store(out_ptr + at, tl.load(grad_ptr + at, mask=at < n) * slope, mask=at < n)


class Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        out = torch.empty_like(x)
        forward_kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
        return out

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        backward_kernel[(triton.cdiv(x.numel(), 64),)](x, grad.contiguous(), out, x.numel(), BLOCK=64)
        return out


def gelu(x):
    return Gelu.apply(x)
