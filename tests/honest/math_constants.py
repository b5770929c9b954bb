"""Python's math inside a kernel, on compile-time numbers.

family: math module in a kernel
task: gelu
"""
import math
import torch
import triton
import triton.language as tl


@triton.jit
def gelu_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = offs < n
    x = tl.load(x_ptr + offs, mask=m)
    half_pi = math.pi / math.sqrt(4.0)
    y = 0.5 * x * (1.0 + tl.erf(x / tl.sqrt(half_pi * 4.0 / math.pi)))
    tl.store(y_ptr + offs, y, mask=m)


def gelu(x):
    y = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
    return y
