"""Functions of the language that are where this version of Triton has them, or where another had them.

family: language names by version
task: gelu
"""
import torch
import triton
import triton.language as tl

try:
    from triton.language.extra.libdevice import erf, pow
except Exception:
    from triton.language.math import erf, pow
try:
    from triton.language.extra import libdevice
except ImportError:
    from triton.language import libdevice

fast_log1p = tl.math.log1p if hasattr(tl.math, "log1p") else libdevice.log1p


@triton.jit
def gelu_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = offs < n
    x = tl.load(x_ptr + offs, mask=m)
    half = pow(tl.full((BLOCK,), 2.0, tl.float32), -1.0) + fast_log1p(tl.zeros_like(x))
    tl.store(y_ptr + offs, half * x * (1.0 + erf(x * libdevice.rsqrt(tl.full((BLOCK,), 2.0, tl.float32)))), mask=m)


def gelu(x):
    y = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
    return y
